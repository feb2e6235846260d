"""What a fix may change in the values: what is rounded, widened exactly, or computed in another dtype."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from analyzer.ir.dtypes import DTYPES, DType, kind, real_part, short
from analyzer.ir.literal_types import EffectKind


@dataclass(frozen=True, slots=True)
class Effect:
    """Values that have another dtype under a fix, or one that is another number."""

    kind: EffectKind
    old: str
    """The dtype, or the number, that they had."""
    new: str
    count: int = 1
    """How many tensors, or operations."""
    name: str = ""
    """The tensor, where it is one that has a name."""

    @property
    def exact(self) -> bool:
        """Whether no value changes: the new dtype holds all that the old one does."""
        return self.kind != "number" and holds(self.new, self.old)


def holds(wide: str, narrow: str) -> bool:
    """Whether a dtype holds every number of another one.

    >>> holds("float32", "bfloat16"), holds("float16", "bfloat16"), holds("bfloat16", "float16")
    (True, False, False)
    """
    if wide == narrow or kind(narrow) == "bool":
        return True
    into, of = (_row(name) for name in (wide, narrow))
    to_integers = kind(wide) in ("bool", "int") and kind(narrow) not in ("bool", "int")
    to_real = kind(narrow) == "complex" and kind(wide) != "complex"
    signed = wide.startswith("uint") and not narrow.startswith("uint")
    if into is None or of is None or to_integers or to_real or signed or kind(wide) == "bool":
        return False
    return into.bits >= of.bits and into.exponent >= of.exponent


def values(effects: Iterable[Effect]) -> str:
    """What becomes of the values, in a few words.

    >>> values([Effect("stored", "float32", "bfloat16", name="pos_embed")])
    'values: f32 rounded to bf16 (8 bits): pos_embed'
    >>> values([Effect("input", "float16", "float32", name="x")])
    'no value is rounded: exact widening f16 to f32'
    """
    found = list(effects)
    lossy = [_lossy(one) for one in found if not one.exact]
    if lossy:
        return f"values: {'; '.join(lossy)}"
    wider = dict.fromkeys(f"{short(one.old)} to {short(one.new)}" for one in found if one.old != one.new)
    return f"no value is rounded: exact widening {', '.join(wider)}" if wider else "no value is rounded"


_MANY: Final = {"stored": "stored tensors", "input": "inputs", "cast": "results"}
_ONE: Final = {"stored": "a stored tensor", "input": "an input", "cast": "one result"}


def _lossy(one: Effect) -> str:
    if one.kind == "number":
        return f"{one.old} becomes {one.new}"
    old, new = short(one.old), short(one.new)
    if one.kind == "computed":
        return f"{one.count:,} operation{'' if one.count == 1 else 's'} in {new}, {_was(one.count)} {old}"
    who = one.name or (_ONE[one.kind] if one.count == 1 else f"{one.count:,} {_MANY[one.kind]}")
    return f"{old} rounded to {new}{_bits(one.new)}: {who}"


def _was(count: int) -> str:
    return "was" if count == 1 else "were"


def _bits(dtype: str) -> str:
    row = _row(dtype)
    edge = ", beyond 65504 infinite" if real_part(dtype) == "float16" else ""
    return f" ({row.bits} bits{edge})" if row and kind(dtype) in ("float", "complex") else ""


def _row(dtype: str) -> DType | None:
    """What is known of the numbers of a dtype, or of the parts of a complex one; None if nothing is."""
    row = DTYPES.get(real_part(dtype))
    return row if row is not None and row.bits else None
