"""Calls of the library's layers by the model's own code, with the parameters and the results of an older release."""

from __future__ import annotations

import dis
import functools
import inspect
from collections.abc import Callable
from typing import Any, Final

import torch
from torch import nn

from analyzer.loaders.stubs.inert import StandInUsed
from analyzer.loaders.versions.old_names.classes import rotary
from analyzer.loaders.versions.old_names.classes.signatures import Old
from analyzer.loaders.versions.old_names.lending import Lender, caller

_CACHES: Final = ("past_key_value", "past_key_values", "layer_past", "cache_params")
_RENAMED: Final = {"past_key_values_length": "cache_length"}
_SWITCHES: Final = ("output_attentions", "output_hidden_states", "return_dict", "use_cache", "cache_position")
"""What may be left out where a class does not take it: it asks for more results, or is worked out there now."""
_GIVES_UP: Final = ("output_attentions",)
"""What cannot be given where a class does not take it."""
CAUSAL: Final = ("GPT2Attention", "GPT2Block")
"""Classes that hid what comes later from each token themselves, whatever mask they were given."""
_LAST_TUPLES: Final = (4, 54)
"""From this release on most layers give a tensor."""


def old_style(cls: type, known: list[Old], original: Any, lender: Lender) -> Callable[..., Any]:
    """The `forward` of a class: own code may call it as in the releases that `known` tells of."""
    from transformers import PreTrainedModel

    now = inspect.signature(original).parameters

    @functools.wraps(original)
    def forward(self: Any, *args: Any, **kwargs: Any) -> Any:
        if not lender.is_asked():
            return original(self, *args, **kwargs)
        before = _chosen(known, args)
        if isinstance(self, PreTrainedModel):
            return original(self, **_renamed(dict(zip(before.names, args, strict=False)) | kwargs, now))
        given = dict(zip(before.names, args, strict=False)) | kwargs
        taken = _translated(cls, given, now, lender)
        if "position_embeddings" in now and taken.get("position_embeddings") is None:
            taken["position_embeddings"] = rotary.embeddings(self, given, lender)
        if "attention_mask" in now:  # some have to be given it, who left it out before
            taken.setdefault("attention_mask", None)
        if cls.__name__ in CAUSAL and given.get("encoder_hidden_states") is None:
            taken["attention_mask"] = _causal(given["hidden_states"], taken)
        if given.get("output_hidden_states") and cls.__name__.endswith("Encoder"):
            result = _with_hidden_states(original, self, taken)
        else:
            result = original(self, **taken)
        return _as_before(result, given, before, cls, lender)

    return forward


def _renamed(given: dict[str, Any], now: Any) -> dict[str, Any]:
    """The arguments of a whole model, which takes its switches still."""
    taken = {("cache" if name in _CACHES and "cache" in now else name): value for name, value in given.items()}
    return {name: value for name, value in taken.items() if name in now or not _is_nothing(value)}


def _chosen(known: list[Old], args: tuple[Any, ...]) -> Old:
    """The parameters that arguments by place were meant for: embeddings of positions are a pair, masks are not."""
    for one in known:
        names = one.names[: len(args)]
        fits = all(
            isinstance(arg, tuple) == (name == "position_embeddings")
            for name, arg in zip(names, args, strict=False)
            if name in ("position_embeddings", "attention_mask") and arg is not None
        )
        if len(args) <= len(one.names) and fits:
            return one
    return known[-1]


def _translated(cls: type, given: dict[str, Any], now: Any, lender: Lender) -> dict[str, Any]:
    """The arguments under their names of now. Raises StandInUsed for one that the class has no place for."""
    takes_all = any(one.kind is one.VAR_KEYWORD for one in now.values())
    taken: dict[str, Any] = {}
    for name, value in given.items():
        new = "cache" if name in _CACHES and "cache" in now else _RENAMED.get(name, name)
        if new in now:
            taken[new] = value
        elif name == "causal_attention_mask":
            taken["attention_mask"] = _both(given.get("attention_mask"), value)
        elif _is_nothing(value) or (name in _SWITCHES and name not in _GIVES_UP):
            continue
        elif takes_all and name not in _GIVES_UP and "head_mask" not in name:
            taken[name] = value
        else:
            raise StandInUsed(f"{cls.__name__}.forward({name}=): the installed transformers does not take it")
    lender.note(f"{cls.__name__} called as in an older transformers", "what is gone left out, the result as then")
    return taken


def _causal(states: torch.Tensor, taken: dict[str, Any]) -> torch.Tensor:
    """The mask that is given, with what comes later hidden."""
    length, cache = states.shape[-2], taken.get("cache")
    past = int(cache.get_seq_length()) if cache is not None else 0
    lowest = torch.finfo(states.dtype).min
    hidden = torch.full((length, past + length), lowest, dtype=states.dtype, device=states.device).triu(past + 1)
    mask = _both(taken.get("attention_mask"), hidden[None, None])
    assert mask is not None
    return mask.clamp(min=lowest)


def _both(first: torch.Tensor | None, second: torch.Tensor | None) -> torch.Tensor | None:
    if first is None or second is None:
        return second if first is None else first
    return first + second


def _is_nothing(value: object) -> bool:
    """Whether a value asks for nothing: None, False, or no mask for any layer."""
    listed = list(value) if isinstance(value, (list, tuple)) else []
    return value is None or value is False or (bool(listed) and all(one is None for one in listed))


def _with_hidden_states(original: Any, self: Any, taken: dict[str, Any]) -> Any:
    """The result with what went into each layer, and the last one's result, as encoders collected them."""
    layers = next((m for m in (getattr(self, n, None) for n in ("layers", "layer", "block")) if m is not None), ())
    seen: list[torch.Tensor] = []

    def collect(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        seen.append(args[0] if args else kwargs["hidden_states"])

    handles = [layer.register_forward_pre_hook(collect, with_kwargs=True) for layer in layers]
    try:
        result = original(self, **taken)
    finally:
        for handle in handles:
            handle.remove()
    if getattr(result, "hidden_states", None) is None and seen and hasattr(result, "last_hidden_state"):
        result.hidden_states = (*seen, result.last_hidden_state)
    return result


def _as_before(result: Any, given: dict[str, Any], before: Old, cls: type, lender: Lender) -> Any:
    """The result in as many parts as older code takes apart, or as its release gave."""
    if hasattr(result, "to_tuple"):
        return result.to_tuple() if given.get("return_dict") is False else result
    cache = next((given[name] for name in _CACHES if given.get(name) is not None), None)
    parts, is_first = _taken_apart(caller(2))
    if isinstance(result, torch.Tensor):
        if not before.gave_tuple or not (parts or is_first or _is_old(given, lender)):
            return result
        result = (result, cache) if given.get("use_cache") else (result,)
    elif not isinstance(result, tuple):
        return result
    elif len(result) == 2 and parts == 0 and "head_mask" in before.names and not given.get("output_attentions"):
        result = result[:1]  # no weights were given unless they were asked for
    return _in_parts(result, parts, cache)


def _in_parts(made: tuple[Any, ...], parts: int, cache: Any) -> tuple[Any, ...]:
    """As many parts as are taken apart: the last is the cache, those between are None."""
    if not parts or len(made) >= parts:
        return made[:parts] if parts else made
    return (*made, *[None] * (parts - len(made) - 1), cache)


def _is_old(given: dict[str, Any], lender: Lender) -> bool:
    if {"past_key_value", "layer_past", "output_attentions", "layer_head_mask", "head_mask"} & set(given):
        return True
    return bool(lender.release) and lender.release < _LAST_TUPLES


def _taken_apart(frame: Any) -> tuple[int, bool]:
    """Into how many names the line that calls takes the result apart, 0 if it does not; and whether it takes `[0]`."""
    code = list(dis.get_instructions(frame.f_code)) if frame is not None else []
    after = [one for one in code if one.offset > frame.f_lasti and one.opname != "CACHE"][:2]
    if after and after[0].opname == "UNPACK_SEQUENCE":
        return int(after[0].arg or 0), False
    names = [one.opname for one in after]
    is_zero = bool(after) and after[0].argval == 0 and after[0].opname in ("LOAD_CONST", "LOAD_SMALL_INT")
    return 0, is_zero and len(names) > 1 and names[1] in ("BINARY_SUBSCR", "BINARY_OP")
