"""What a person calls of a model, by which names: its forward, what that hands on to, or the method that drives it."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from operator import attrgetter
from typing import Any, Final

from torch import nn

from analyzer.inputs.calls.source_reading import handed_on, keys_read

Run = Callable[[nn.Module, dict[str, Any]], Any]
"""How a person runs a model on inputs of their own."""
_DRIVERS: Final = ("generate", "chat", "predict", "inference", "prepare_inputs_embeds", "encode_image")
"""Methods that people call of a class without a forward, the likeliest first."""
_FORWARD: Final = ".forward"
_EMBEDDED: Final = "inputs_embeds"
_DEEPEST: Final = 4
"""How many times a forward is followed that hands all on."""
_BY_NAME: Final = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
_GATHERS: Final = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
_MAPPINGS: Final = ("dict", "Dict", "Mapping", "BatchEncoding", "BatchFeature", "Any", "<class 'dict'>")
"""Annotations of an argument that may be a dict."""


@dataclass(frozen=True, slots=True)
class Call:
    """The names that inputs go by, what is documented of them, and how they are handed over."""

    signature: inspect.Signature
    doc: str = ""
    run: Run | None = None
    """None where it is `model(**inputs)`."""
    packed: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Argument that is a dict -> its keys, which are inputs of their own."""
    method: str = "forward"
    """What the method is called that people call."""


class Given(dict[str, Any]):
    """A dict of inputs whose keys are attributes as well, as those that processors give."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None


def call_of(model: nn.Module, driver: str = "") -> Call:
    """What a person would call of a model; of a class without a forward this method, or the likeliest one."""
    if not _has_forward(model):
        return _driven(model, driver)
    return _unpacked(model, model.forward, _DEEPEST)


def drivers(model: nn.Module) -> list[str]:
    """The methods of its own that people call of a class without a forward; none where there is a forward."""
    return [] if _has_forward(model) else [*(name for name in _DRIVERS if _is_own(model, name)), *_inside(model)]


def _inside(model: nn.Module) -> list[str]:
    """The forward of the one part of a model that has all of its parameters."""
    parts = [(name, part) for name, part in model.named_children() if next(part.parameters(), None) is not None]
    return [f"{name}{_FORWARD}" for name, part in parts if len(parts) == 1 and _has_forward(part)]


def _has_forward(model: nn.Module) -> bool:
    return type(model).forward is not nn.Module.forward or "forward" in vars(model)


def driver_of(run: Run | None) -> str:
    """The method that a run calls; "" where it calls the model."""
    return str(run.args[0]) if isinstance(run, partial) and run.func is _drive else ""


def _driven(model: nn.Module, driver: str) -> Call:
    name = driver or next(iter(drivers(model)), "")
    if not name:
        return Call(inspect.Signature())
    inner = _unpacked(model.get_submodule(name.rpartition(".")[0]), attrgetter(name)(model), 0)
    return Call(inner.signature, inner.doc, partial(_drive, name, inner.run), inner.packed, name)


def _drive(name: str, packing: Run | None, model: nn.Module, inputs: dict[str, Any]) -> Any:
    """Call a method; embeddings that it makes go to the part that reads them."""
    method = model.get_submodule(name.removesuffix(_FORWARD)) if name.endswith(_FORWARD) else getattr(model, name)
    result = packing(method, inputs) if packing else method(**inputs)
    if name.endswith(_EMBEDDED):
        reader = next((part for part in model.children() if _EMBEDDED in _parameters(part.forward)), None)
        return result if reader is None else reader(**{_EMBEDDED: result})
    return result


def _is_own(model: nn.Module, name: str) -> bool:
    """Whether a class has a method that no library of models gave it."""
    owner = next((cls for cls in type(model).__mro__ if name in vars(cls)), None)
    return owner is not None and not owner.__module__.startswith(("transformers.", "torch."))


def _unpacked(model: nn.Module, function: Callable[..., Any], depth: int) -> Call:
    """A call of a method of a model: what it gathers is looked for where it hands it on, and dicts are their keys."""
    parameters = _parameters(function)
    own = {name: one for name, one in parameters.items() if one.kind not in _GATHERS}
    if not own and depth > 0 and (inner := _inner(model, function, depth)) is not None:
        return inner
    keys = _keys(model, function, own or parameters)
    if not keys:
        return Call(inspect.signature(function), function.__doc__ or "", _placed(parameters))
    return _with_keys({name: one for name, one in own.items() if name not in keys}, keys, function, own)


def _keys(
    model: nn.Module, function: Callable[..., Any], parameters: dict[str, inspect.Parameter]
) -> dict[str, dict[str, bool]]:
    """The arguments that are dicts, with the keys that are read of each and whether it is needed."""
    found = {name: keys_read(model, function, name) for name, one in parameters.items() if _may_be_dict(one)}
    return {name: keys for name, keys in found.items() if keys}


def _with_keys(
    plain: dict[str, inspect.Parameter],
    keys: dict[str, dict[str, bool]],
    function: Callable[..., Any],
    own: dict[str, inspect.Parameter],
) -> Call:
    """A call whose inputs are plain arguments and the keys of dicts; those that are gathered need no packing."""
    names = dict(plain)
    for found in keys.values():
        names |= {key: _by_name(key, needed) for key, needed in found.items()}
    packed = {name: tuple(found) for name, found in keys.items() if name in own}
    signature = inspect.Signature(sorted(names.values(), key=lambda one: (one.kind, one.default is not one.empty)))
    return Call(signature, function.__doc__ or "", partial(_pack, packed) if packed else None, packed)


def _by_name(key: str, needed: bool) -> inspect.Parameter:
    default = inspect.Parameter.empty if needed else None
    return inspect.Parameter(key, inspect.Parameter.KEYWORD_ONLY, default=default)


def _pack(packed: dict[str, tuple[str, ...]], model: Callable[..., Any], inputs: dict[str, Any]) -> Any:
    """Hand the keys of each dict over in one."""
    inside = {key for keys in packed.values() for key in keys}
    dicts = {name: Given({key: inputs[key] for key in keys if key in inputs}) for name, keys in packed.items()}
    return model(**dicts, **{key: value for key, value in inputs.items() if key not in inside})


def _placed(parameters: dict[str, inspect.Parameter]) -> Run | None:
    """How to call what takes its arguments by place alone."""
    if any(one.kind is one.POSITIONAL_ONLY for one in parameters.values()):
        return _by_place
    return None


def _by_place(model: Callable[..., Any], inputs: dict[str, Any]) -> Any:
    return model(*inputs.values())


def _inner(model: nn.Module, function: Callable[..., Any], depth: int) -> Call | None:
    """The call that one is which only hands on what it was given; None where that cannot be read."""
    takes_names = any(one.kind is one.VAR_KEYWORD for one in _parameters(function).values())
    for target in handed_on(model, function):
        owner = target if isinstance(target, nn.Module) else getattr(target, "__self__", model)
        inner = _unpacked(owner, target.forward if isinstance(target, nn.Module) else target, depth - 1)
        if inner.signature.parameters:
            run = inner.run or (None if takes_names else _by_place)
            return Call(inner.signature, inner.doc, run, inner.packed)
    return None


def _parameters(function: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    try:
        return dict(inspect.signature(function).parameters)
    except (TypeError, ValueError):  # of what is not written in Python
        return {}


def _may_be_dict(one: inspect.Parameter) -> bool:
    if one.kind is one.VAR_KEYWORD:
        return True
    said = one.annotation if isinstance(one.annotation, str) else str(one.annotation)
    plain = one.annotation is one.empty or any(word in said for word in _MAPPINGS)
    return plain and one.default is one.empty and one.kind in (*_BY_NAME, one.POSITIONAL_ONLY)
