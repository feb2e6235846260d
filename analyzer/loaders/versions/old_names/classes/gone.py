"""Classes and functions of single models that are gone, and that something of the same model stands for."""

from __future__ import annotations

import copy
import re
from typing import Any, Final

from analyzer.loaders.stubs.inert import Inert
from analyzer.loaders.versions.old_names import masks
from analyzer.loaders.versions.old_names.classes import rotary
from analyzer.loaders.versions.old_names.lending import Lender

_TOWERS: Final = re.compile(r"(CLIP|Siglip|Siglip2|ChineseCLIP|AltCLIP|XCLIP)(Text|Vision)Transformer")
_OF_BOOLS: Final = ("bloom", "falcon")
"""Models whose masks were of truth values."""
_BY_POSITIONS: Final = masks._prepare_4d_causal_attention_mask_with_cache_position
MASKS: Final[dict[str, object]] = {
    _BY_POSITIONS.__name__: _BY_POSITIONS,
    "_make_causal_mask": (masks.AttentionMaskConverter._make_causal_mask, masks.causal_bools),
    "_expand_mask": (masks.AttentionMaskConverter._expand_mask, masks.expanded_bools),
}
"""Function of a model's module -> what does the same: with numbers, and with truth values."""
_SCALED: Final = {"LinearScaling": "linear", "DynamicNTKScaling": "dynamic"}


def stand_in(module: Any, name: str, lender: Lender) -> tuple[object, str] | None:
    """What stands for a name that a model's module had, and that in a few words; None if nothing does."""
    for make in (_sdpa, _classes, _tower, _rotary, _mask):
        if found := make(module, name, lender):
            return found
    return None


def _sdpa(module: Any, name: str, _: Lender) -> tuple[object, str] | None:
    base = getattr(module, name.replace("Sdpa", ""), None)
    if "Sdpa" not in name or not name.endswith("Attention") or base is None:
        return None
    return _with_attention(base, name, "sdpa"), f"{base.__name__} with sdpa"


def _with_attention(base: Any, name: str, chosen: str) -> type:
    """A class of attention that does not look at its config for how to attend."""

    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        base.__init__(self, *args, **kwargs)
        self.config = copy.copy(self.config)
        self.config.__dict__["_attn_implementation_internal"] = chosen

    return type(name, (base,), {"__init__": __init__, "__module__": base.__module__})


def _classes(module: Any, name: str, _: Lender) -> tuple[object, str] | None:
    """A table of attention classes by how they attend, as until 4.47."""
    wanted = name.removesuffix("_CLASSES").replace("_", "").lower()
    base = next((v for k, v in vars(module).items() if k.lower() == wanted and isinstance(v, type)), None)
    if not name.endswith("_ATTENTION_CLASSES") or base is None:
        return None
    flash = Inert(
        f"{module.__name__}.{base.__name__}", "with flash_attention_2 the installed release has no such class"
    )
    made = {chosen: _with_attention(base, base.__name__, chosen) for chosen in ("eager", "sdpa")}
    return {**made, "flash_attention_2": flash}, f"{base.__name__} with eager or sdpa"


def _tower(module: Any, name: str, _: Lender) -> tuple[object, str] | None:
    found = _TOWERS.fullmatch(name)
    base: Any = getattr(module, f"{found[1]}{found[2]}Model", None) if found else None
    if base is None:
        return None

    def __init__(self: Any, config: Any, *args: Any, **kwargs: Any) -> None:
        if config._attn_implementation is None:  # it was no model of its own, which would choose
            config._attn_implementation = "eager"
        base.__init__(self, config, *args, **kwargs)

    return type(name, (base,), {"__init__": __init__, "__module__": base.__module__}), base.__name__


def _rotary(module: Any, name: str, lender: Lender) -> tuple[object, str] | None:
    for words, kind in _SCALED.items():
        base: Any = getattr(module, name.replace(words, ""), None)
        if words in name and name.endswith("RotaryEmbedding") and base is not None:
            made = rotary.made_by_numbers(base.__init__, lender, kind)
            return type(name, (base,), {"__init__": made, "__module__": base.__module__}), f"{base.__name__}, {kind}"
    return None


def _mask(module: Any, name: str, _: Lender) -> tuple[object, str] | None:
    made: Any = MASKS.get(name)
    if isinstance(made, tuple):
        made = made[module.__name__.endswith(_OF_BOOLS)]
    return (made, "the tool's own copy") if made is not None else None
