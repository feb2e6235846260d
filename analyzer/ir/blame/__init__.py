"""Where a tensor has its dtype from: the nearest origins, worked out once for everything that stands before it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from analyzer.ir.blame.roles import base, deciding
from analyzer.ir.dtypes import kind, real_part, width
from analyzer.ir.findings import Origin
from analyzer.ir.graph import CAST, DtypeArg, ModelGraph, Node, Ref
from analyzer.ir.literal_types import OriginKind

NEAREST: Final = 4
"""How many origins blame names at most: the nearest ones."""
_KEPT: Final = 8
"""How many origins of either kind are kept for a tensor on the way."""
_Found: TypeAlias = "tuple[tuple[int, Origin, bool], ...]"
"""Steps to an origin, the origin, and whether the dtype was won by a promotion on the way; nearest first."""


@dataclass(frozen=True, slots=True)
class Blame:
    """Reads one flow backwards. What is found for a tensor is kept: all questions together cost one pass."""

    graph: ModelGraph
    dtypes: Mapping[str, tuple[str, ...]]
    """Node id -> the dtypes of its outputs."""
    _known: dict[Ref, _Found] = field(default_factory=dict)

    def origins(self, ref: Ref) -> tuple[Origin, ...]:
        """The nearest origins that gave an operand its dtype, through every operation that only handed it on.

        Where the dtype was won by a promotion on the way, the blame is on the promotion's wide operands alone.
        """
        found = self._find(ref)
        promoted, plain = ([o for _, o, won in found if won == wanted] for wanted in (True, False))
        return tuple([*promoted, *plain][:NEAREST])

    def _find(self, start: Ref) -> _Found:
        """The origins of `start`, and on the way those of all that it comes from, each after what it reads."""
        known, waiting, begun = self._known, [start], set()
        while waiting:
            ref = waiting[-1]
            if ref in known:
                waiting.pop()
                continue
            origin, before, won = self._before(ref)
            missing = [one for one in before if one not in known and one not in begun]
            begun.add(ref)
            if missing:
                waiting += missing
                continue
            waiting.pop()
            known[ref] = ((0, origin, False),) if origin else _nearest([known.get(one, ()) for one in before], won)
        return known[start]

    def _before(self, ref: Ref) -> tuple[Origin | None, list[Ref], bool]:
        """The origin that a tensor is, else the tensors that handed their dtype on, and whether others met them."""
        node, dtype = self.graph[ref.id], self._dtype(ref)
        before = handed_on(self.graph, ref, self._dtype)
        if stored := node.stored_as if not before else None:
            name, place = node.name or node.id, node.place
            return Origin(stored, name, dtype, place.file, place.line, node.reason), [], False
        if not before and node.op == CAST and is_told(node):
            return _made(node.inserted or "cast", node.call or node.id, dtype, node), [], False
        if not before:
            return _made("constant", node.id, dtype, node), [], False
        if before == [self.graph.follows.get(ref)]:
            return None, before, False
        shaped = [one for one in deciding(node, ref.index) if self.graph.spec(one).shape]
        part, others = real_part(dtype), map(real_part, map(self._dtype, shaped))
        return None, before, any(kind(other) == kind(part) and other != part for other in others)

    def _dtype(self, ref: Ref) -> str:
        return self.dtypes[ref.id][ref.index]


def handed_on(graph: ModelGraph, ref: Ref, dtype_of: Callable[[Ref], str]) -> list[Ref]:
    """The tensors that a result has its dtype from; none if the operation made it by itself, or was told it.

    That is the tensor whose dtype the code read for it; else the operands that have this dtype, tensors before
    numbers; else all of its kind, where several dtypes met in a wider one that none of them has: bfloat16 and float16
    give float32. A complex number has the dtype of its two parts.
    """
    node, dtype = graph[ref.id], real_part(dtype_of(ref))
    model = graph.follows.get(ref)
    if model and dtype_of(model) == dtype_of(ref):
        return [model]
    if is_told(node):
        return []
    operands = deciding(node, ref.index)
    shaped = [one for one in operands if graph.spec(one).shape]
    for group in (shaped, operands):
        if same := [one for one in group if real_part(dtype_of(one)) == dtype]:
            return same
    met = {one: part for one in shaped if kind(part := real_part(dtype_of(one))) == kind(dtype)}
    wider = all(width(part) < width(dtype) for part in met.values())
    return list(met) if wider and len(set(met.values())) > 1 else []


def is_told(node: Node) -> bool:
    """Whether the code gave an operation the dtype of its result: a cast, or a call with a dtype among its arguments.

    A function of torch may pass the dtype of its own argument on, as `pad` does: that is none.
    """
    given = any(type(arg) is DtypeArg for arg in (*node.args, *(value for _, value in node.kwargs)))
    return given and (node.op == CAST or base(node) == node.call)


def _made(how: OriginKind, name: str, dtype: str, node: Node) -> Origin:
    return Origin(how, name, dtype, node.place.file, node.place.line)


def _nearest(parts: list[_Found], won: bool) -> _Found:
    """The origins behind several tensors, one step further; each once, by its shortest way."""
    if len(parts) == 1 and not won:
        return tuple([(steps + 1, origin, promoted) for steps, origin, promoted in parts[0]])
    best: dict[Origin, tuple[int, Origin, bool]] = {}
    for found in parts:
        for steps, origin, promoted in found:
            if origin not in best or steps + 1 < best[origin][0]:
                best[origin] = (steps + 1, origin, promoted or won)
    ordered = sorted(best.values(), key=lambda one: one[0])
    kept = dict.fromkeys((True, False), 0)
    nearest = []
    for one in ordered:
        kept[one[2]] += 1
        if kept[one[2]] <= _KEPT:
            nearest.append(one)
    return tuple(nearest)
