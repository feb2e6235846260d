"""Rotary embeddings as the library's models made and took them: by numbers, by length, inside each attention."""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable
from typing import Any, Final

import torch
from torch.utils._python_dispatch import _disable_current_modes

from analyzer.loaders.versions.old_names.lending import Lender

_NUMBERS: Final = ("dim", "max_position_embeddings", "base", "device", "scaling_factor", "rope_type")


def made_by_numbers(original: Any, lender: Lender, scaled: str = "") -> Callable[..., None]:
    """The constructor of a rotary embedding, which took numbers where it takes a config."""

    @functools.wraps(original)
    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        config = kwargs.get("config", args[0] if args else None)
        if config is not None and hasattr(config, "to_dict"):
            original(self, config)
            return
        given = dict(zip(_NUMBERS, args, strict=False)) | kwargs
        said = {name: value for name, value in given.items() if name in _NUMBERS and isinstance(value, (int, float))}
        lender.note(f"{type(self).__name__} made by numbers, where the installed release takes a config", f"{said}")
        original(self, _config(given, scaled))

    return __init__


def _config(given: dict[str, Any], scaled: str) -> Any:
    from transformers import PretrainedConfig

    config: Any = PretrainedConfig()
    config.head_dim = config.hidden_size = int(given["dim"])
    config.num_attention_heads = 1
    config.max_position_embeddings = int(given.get("max_position_embeddings") or 2048)
    kind = scaled or given.get("rope_type") or "default"
    parameters = {"rope_type": kind, "rope_theta": float(given.get("base") or 10000.0)}
    config.rope_parameters = (
        parameters if kind == "default" else parameters | {"factor": given.get("scaling_factor", 1.0)}
    )
    return config


def by_length(original: Any, lender: Lender) -> Callable[..., Any]:
    """The forward of a rotary embedding, which gave a table of `seq_len` rows before it took positions."""

    @functools.wraps(original)
    def forward(self: Any, x: torch.Tensor, position_ids: Any = None, seq_len: int | None = None, **kwargs: Any) -> Any:
        length = position_ids if isinstance(position_ids, int) else seq_len
        if length is None or isinstance(position_ids, torch.Tensor):
            return original(self, x, position_ids, **kwargs)
        lender.note(f"{type(self).__name__}(seq_len=), which the installed release does not take", "a table as before")
        cos, sin = original(self, x, torch.arange(length, device=x.device)[None])
        return cos[0], sin[0]

    return forward


def applied_by_positions(original: Any, lender: Lender) -> Callable[..., Any]:
    """`apply_rotary_pos_emb` with positions: they pick rows of a table, and say nothing where there is none."""
    if "position_ids" in inspect.signature(original).parameters:
        return original  # type: ignore[no-any-return]

    @functools.wraps(original)
    def apply_rotary_pos_emb(q: Any, k: Any, cos: Any, sin: Any, *args: Any, **kwargs: Any) -> Any:
        is_old = "position_ids" in kwargs or (args and not isinstance(args[0], int))
        if not is_old:
            return original(q, k, cos, sin, *args, **kwargs)
        positions = kwargs.pop("position_ids") if "position_ids" in kwargs else args[0]
        rest = args if not args or isinstance(args[0], int) else args[1:]
        if isinstance(positions, torch.Tensor) and cos.dim() == 2:
            cos, sin = cos[positions], sin[positions]
        lender.note("apply_rotary_pos_emb(position_ids=), which the installed release does not take", "as before")
        return original(q, k, cos, sin, *rest, **kwargs)

    return apply_rotary_pos_emb


def embeddings(layer: Any, given: dict[str, Any], lender: Lender) -> Any:
    """The cosines and sines that an attention made for itself until 4.47, of the positions that it is called with."""
    own = getattr(layer, "rotary_emb", None)
    attention = layer if own is not None or not hasattr(layer, "self_attn") else layer.self_attn
    own = own if own is not None else getattr(attention, "rotary_emb", None)
    cls = next((c for c in type(layer).__mro__ if c.__module__.startswith("transformers.models.")), type(layer))
    named = vars(sys.modules[cls.__module__]).items()
    kind: Any = next((v for k, v in named if k.endswith("RotaryEmbedding")), None)
    config = getattr(attention, "config", None)
    if own is None and (kind is None or config is None):
        return None
    states = given["hidden_states"]
    positions = given.get("position_ids")
    if positions is None:
        positions = torch.arange(states.shape[1], device=states.device)[None]
    lender.note(f"{cls.__name__} without position_embeddings, which the installed release needs", "made by itself")
    if own is None:  # kept beside its modules, as it had no part in what they hold now
        own = vars(attention).setdefault("_lent_rotary", None) or _plain(kind, config)
        vars(attention)["_lent_rotary"] = own
    return own(states, positions)


def _plain(kind: Any, config: Any) -> Any:
    """A rotary embedding with its numbers, whatever watches or fakes tensors while a model runs."""
    with _disable_current_modes(), torch.device("cpu"):
        return kind(config)
