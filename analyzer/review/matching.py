"""Matches the nodes of two graphs: stored tensors by name, operations by their order in the same module."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

from analyzer.graph import ModelGraph, Node

Room = tuple[str, str, str]
"""Step, phase and module path of an operation."""
Word = tuple[str, str, str]
"""Operation, call, and who inserted it."""


@dataclass(frozen=True, slots=True)
class Matched:
    """Ids of nodes that are the same in both graphs, and of those that only one has, in reading order."""

    pairs: tuple[tuple[str, str], ...]
    gone: tuple[str, ...]
    new: tuple[str, ...]


def match(before: ModelGraph, after: ModelGraph) -> Matched:
    """Match two graphs. Operations that are put in, taken out or moved within a module leave the others matched.

    O(operations) where a module runs the same operations, else quadratic in those that differ in that module.
    """
    old, new = _rooms(before), _rooms(after)
    pairs = [pair for room in old if room in new for pair in _aligned(old[room], new[room])]
    tensors = {_stored(node): node.id for node in before.stored()}
    pairs += [(tensors[key], node.id) for node in after.stored() if (key := _stored(node)) in tensors]
    lost = before.nodes.keys() - {a for a, _ in pairs}
    made = after.nodes.keys() - {b for _, b in pairs}
    order = {node_id: i for i, node_id in enumerate(after.nodes)}
    return Matched(
        tuple(sorted(pairs, key=lambda pair: order[pair[1]])),
        tuple(node_id for node_id in before.nodes if node_id in lost),
        tuple(node_id for node_id in after.nodes if node_id in made),
    )


def _rooms(graph: ModelGraph) -> dict[Room, list[Node]]:
    rooms: defaultdict[Room, list[Node]] = defaultdict(list)
    for node in graph:
        if node.is_op:
            rooms[node.step, node.phase, node.module].append(node)
    return rooms


def _stored(node: Node) -> tuple[str, str]:
    return node.op, node.name or node.id


def _word(node: Node) -> Word:
    return node.op, node.call, node.inserted


def _aligned(old: Sequence[Node], new: Sequence[Node]) -> Iterator[tuple[str, str]]:
    a, b = [_word(node) for node in old], [_word(node) for node in new]
    start = 0
    while start < min(len(a), len(b)) and a[start] == b[start]:
        start += 1
    end = 0
    while end < min(len(a), len(b)) - start and a[-1 - end] == b[-1 - end]:
        end += 1
    middle = SequenceMatcher(None, a[start : len(a) - end], b[start : len(b) - end], autojunk=False)
    same = [(start + i, start + j, size) for i, j, size in middle.get_matching_blocks()]
    blocks = [(0, 0, start), *same, (len(a) - end, len(b) - end, end)]
    found = [(i + k, j + k) for i, j, size in blocks for k in range(size)]
    for i, j in [*found, *_moved(a, b, found)]:
        yield old[i].id, new[j].id


def _moved(a: Sequence[Word], b: Sequence[Word], found: Sequence[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Operations left over on both sides: those that are alike only changed places, in reading order."""
    old, new = {i for i, _ in found}, {j for _, j in found}
    left: defaultdict[Word, deque[int]] = defaultdict(deque)
    for i, word in enumerate(a):
        if i not in old:
            left[word].append(i)
    for j, word in enumerate(b):
        if j not in new and left[word]:
            yield left[word].popleft(), j
