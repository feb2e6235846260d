"""In which other dtypes a refused call is put again: the least change first, operands of any kind."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import combinations
from typing import Final, TypeAlias

from analyzer.ir.dtypes import kind

Change: TypeAlias = "Mapping[int, str]"
"""Position of a tensor among the operands of a call -> the dtype that it is given."""

_KINDS: Final = ("bool", "int", "float", "complex")
_TARGETS: Final = {
    "bool": ("int64", "float32", "int32", "complex64", "uint8"),
    "int": ("int64", "float32", "bool", "int32", "complex64", "uint8", "int8", "bfloat16"),
    "float": ("float32", "int64", "bool", "int32", "complex64", "uint8", "bfloat16", "float64", "int8"),
    "complex": ("complex64", "float32", "int64", "int32", "bool", "bfloat16"),
}
"""What an operand of a kind is tried in, beside the dtypes of the other operands."""
_INDEXING: Final = {
    "getitem": None, "setitem": None, "index": None, "index_put": -1, "unsafe_index_put": -1, "index_put_impl": -1,
}  # fmt: skip
"""Calls that index their first operand, and before which operand the indices end."""
_INDICES: Final = frozenset({"bool", "uint8", "int32", "int64"})
"""What indexes (aten/src/ATen/native/IndexingUtils.h)."""
_MANY: Final = 12
"""Operands beyond which they are changed by groups alone."""
_FEW: Final = 6
"""Operands up to which any two of them are changed at once."""
_PAIRED: Final = ("float32", "int64", "bool")
_GROUPED: Final = 4
"""Dtypes beyond which no two groups of operands are changed at once."""


def remedies(dtypes: Sequence[str], written: Iterable[int] = (), call: str = "") -> Iterator[dict[int, str]]:
    """Other dtypes for the operands of a refused call, which have `dtypes`; the one that changes least comes first.

    One operand at a time, those of the lesser kind first (an integer becomes a float before a float becomes an
    integer), then all operands of a dtype, of a kind, all of them, two such groups at once, and any two operands.
    Operands that the call writes into (`written`) come last: a destination is what it is. A mask or an integer that
    indexes is what it has to be, and a position is no mask: where the name of the `call` says that it indexes, these
    stay.

    >>> next(remedies(["bool", "int64", "int64"], {0}, "aten.index_put_.default"))
    {2: 'bool'}

    >>> next(remedies(["float32", "int64", "float32"]))
    {1: 'float32'}
    """
    tried: set[tuple[tuple[int, str], ...]] = set()
    last = frozenset(written)
    name = _name(call)
    places = range(len(dtypes))[1 : _INDEXING[name]] if name in _INDEXING else ()
    kept = {at for at in places if dtypes[at] in _INDICES}
    for change in _all(dtypes, last):
        if not kept.isdisjoint(change):
            continue
        real = {at: dtype for at, dtype in sorted(change.items()) if dtypes[at] != dtype}
        key = tuple(real.items())
        if real and key not in tried:
            tried.add(key)
            yield real


def indexes(call: str) -> bool:
    """Whether a call, by the name of a function of torch or of an overload, takes some of a tensor by indices.

    >>> indexes("__getitem__"), indexes("aten.index.Tensor"), indexes("aten.index_add.default")
    (True, True, False)
    """
    return _name(call) in _INDEXING


def _name(call: str) -> str:
    return call.removeprefix("aten.").partition(".")[0].strip("_")


def _all(dtypes: Sequence[str], written: frozenset[int]) -> Iterator[dict[int, str]]:
    if not dtypes:
        return
    present = sorted(dict.fromkeys(dtypes), key=_rank, reverse=True)
    if len(dtypes) <= _MANY:
        order = sorted(range(len(dtypes)), key=lambda at: (at in written, _rank(dtypes[at]), at))
        for at in order:
            others = [dtype for i, dtype in enumerate(dtypes) if i != at]
            for target in (*sorted(dict.fromkeys(others), key=_rank, reverse=True), *_targets(dtypes[at])):
                yield {at: target}
    groups = list(_groups(dtypes))
    for group in groups:
        for target in (*present, *_targets(dtypes[group[0]])):
            yield dict.fromkeys(group, target)
    if 1 < len(present) <= _GROUPED:
        for number, one in enumerate(groups):
            for other in groups[number + 1 :]:
                if not set(one) & set(other):
                    yield from _both(dtypes, one, other, present)
    yield from _pairs(dtypes)


def _pairs(dtypes: Sequence[str]) -> Iterator[dict[int, str]]:
    """Two operands at once in the same dtype, where there are not too many."""
    for pair in combinations(range(len(dtypes)), 2) if len(dtypes) <= _FEW else ():
        for target in _PAIRED:
            yield dict.fromkeys(pair, target)


def _both(
    dtypes: Sequence[str], one: tuple[int, ...], other: tuple[int, ...], present: Sequence[str]
) -> Iterator[dict[int, str]]:
    for first in (*present, *_targets(dtypes[one[0]])):
        for second in (*present, *_targets(dtypes[other[0]])):
            yield dict.fromkeys(one, first) | dict.fromkeys(other, second)


def _groups(dtypes: Sequence[str]) -> Iterator[tuple[int, ...]]:
    """All operands of a dtype, those of the lesser kinds first; all of a kind; all numbers; all."""
    for dtype in sorted(dict.fromkeys(dtypes), key=_rank):
        yield tuple([at for at, other in enumerate(dtypes) if other == dtype])
    for name in _KINDS:
        if found := tuple([at for at, other in enumerate(dtypes) if kind(other) == name]):
            yield found
    if numbers := tuple([at for at, other in enumerate(dtypes) if kind(other) != "bool"]):
        yield numbers
    yield tuple(range(len(dtypes)))


def _targets(dtype: str) -> tuple[str, ...]:
    return _TARGETS[kind(dtype)]


def _rank(dtype: str) -> int:
    return _KINDS.index(kind(dtype))
