"""What operations write into, and what each write of a run reaches: a change under which one reaches less loses it."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Final, NamedTuple

from analyzer.capture import Captured
from analyzer.capture.tracing.signature import Signature, argument, signature
from analyzer.ir.blame.roles import writes_into_first
from analyzer.ir.graph import CALLED, STOPPED, UPDATED, Arg, Node, Place, Ref, refs
from analyzer.oracle import overload

_STATISTICS: Final[Mapping[str, tuple[int, ...]]] = {
    "aten.cudnn_batch_norm.default": (3, 4),
    "aten.miopen_batch_norm.default": (3, 4),
    "aten.native_batch_norm.default": (3, 4),
    f"{CALLED}batch_norm": (1, 2),
    f"{CALLED}instance_norm": (1, 2),
}
"""Operations that write into arguments although their schemas do not say so."""
_OUTPUT: Final = "output "


class Write(NamedTuple):
    """One write of a run, by what stays the same when a cast is written beside it."""

    call: str
    module: str
    place: Place
    phase: str
    step: str
    number: int
    """Which of several writes of the same line it is."""


@dataclass(frozen=True, slots=True)
class Reach:
    """What the writes of a run reach."""

    writes: Mapping[Write, frozenset[str]] = field(default_factory=dict)
    """Every write -> the stored tensors whose memory it changes, and the outputs that read it."""
    names: frozenset[str] = frozenset()
    """The stored tensors and outputs that there are."""


NO_WRITES: Final = Reach()


def written(node: Node) -> tuple[Ref, ...]:
    """The operands that an operation writes into: those of its schema, or of a call that never reached a kernel."""
    if node.op in (UPDATED, STOPPED) or not node.is_op:
        return ()
    named = dict(node.kwargs)
    if node.op in _STATISTICS:
        return tuple(refs(tuple(node.args[at] for at in _STATISTICS[node.op] if at < len(node.args))))
    if not node.op.startswith(CALLED):
        sig = _signature(node.op)
        return tuple(refs(tuple(argument(sig, at, node.args, named) for at in sig.written))) if sig else ()
    name = node.op.removeprefix(CALLED)
    in_place = writes_into_first(name) or named.get("inplace") is True
    first: tuple[Arg, ...] = node.args[:1] if in_place else ()
    return tuple(refs((*first, named.get("out"))))


def reached(captured: Captured) -> Reach:
    """What each write of a run reaches.

    One pass from the end. What is read of a memory after a write may have been written there.
    """
    graph, memory = captured.graph, _memories(captured)
    stored: defaultdict[object, set[str]] = defaultdict(set)
    for node in graph.stored():
        stored[memory(Ref(node.id))].add(f"{node.op} {node.name}")
    names: list[str] = []
    ahead: defaultdict[object, int] = defaultdict(int)
    """Node, or memory, -> the bits of what is reached by who reads it later."""
    for number, ref in enumerate(graph.outputs):
        for key in (ref.id, memory(ref)):
            ahead[key] |= 1 << len(names)
        names.append(f"{_OUTPUT}{number}")
    bits: dict[object, int] = {}
    for key, held in stored.items():
        bits[key] = sum(1 << (len(names) + at) for at in range(len(held)))
        names += sorted(held)
    found: list[tuple[Node, int]] = []
    for node in reversed(list(graph)):
        into = [memory(ref) for ref in written(node)]
        reach = ahead[node.id]
        for key in into:
            reach |= ahead[key] | bits.get(key, 0)
        if into:
            found.append((node, reach))
        for ref in node.operands():
            ahead[ref.id] |= reach
            ahead[memory(ref)] |= reach
    return Reach(_by_place(reversed(found), names), frozenset(names))


def lost(before: Reach, after: Reach) -> str:
    """Which write of a run no longer reaches what it reached before, in words; "" if none.

    Where the code took another way, a stored tensor must still be written by some other line. What a run has no more,
    such as an input of another inputs file, is not asked for.
    """
    still = frozenset[str]().union(*after.writes.values())
    for write, names in before.writes.items():
        asked = names & after.names
        gone = (
            asked - after.writes[write]
            if write in after.writes
            else {name for name in asked - still if not name.startswith(_OUTPUT)}
        )
        if gone:
            return f"{write.call} at {write.place} no longer reaches {_listed(sorted(gone))}"
    return ""


def _memories(captured: Captured) -> Callable[[Ref], object]:
    """What tells the memory of a tensor: the same for all views of it."""
    layouts = captured.layouts

    def memory(ref: Ref) -> object:
        layout = layouts.get(ref)
        return id(layout.cell) if layout else ref

    return memory


def _by_place(found: Iterable[tuple[Node, int]], names: Sequence[str]) -> dict[Write, frozenset[str]]:
    seen: Counter[tuple[str, str, Place, str, str]] = Counter()
    writes = {}
    for node, reach in found:
        key = (node.call or node.op, node.module, node.place, node.phase, node.step)
        reaches = frozenset(name for at, name in enumerate(names) if reach >> at & 1)
        writes[Write(*key, seen[key])] = reaches
        seen[key] += 1
    return writes


def _listed(names: Sequence[str]) -> str:
    return names[0] + (f" and {len(names) - 1} more" if len(names) > 1 else "")


@cache
def _signature(op: str) -> Signature | None:
    """The schema of an operation; None for one that has none, such as a higher-order operator."""
    try:
        return signature(overload(op))
    except AttributeError:
        return None
