"""Matches the nodes of two graphs: stored tensors by name, operations by their order in the same module."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from analyzer.diff.alignment import align
from analyzer.ir.graph import ModelGraph, Node

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


def match(before: ModelGraph, after: ModelGraph, path: Callable[[str], str] = str) -> Matched:
    """Match two graphs. Operations that are put in, taken out or moved within a module leave the others matched.

    `path` says how a module or tensor of the first is called in the second. O(n log n) in the operations.
    """
    old, new = _rooms(before, path), _rooms(after, str)
    pairs = [pair for room in old if room in new for pair in _aligned(old[room], new[room])]
    tensors = {_stored(node, path): node.id for node in before.stored()}
    pairs += [(tensors[key], node.id) for node in after.stored() if (key := _stored(node, str)) in tensors]
    lost = before.nodes.keys() - {a for a, _ in pairs}
    made = after.nodes.keys() - {b for _, b in pairs}
    order = {node_id: i for i, node_id in enumerate(after.nodes)}
    return Matched(
        tuple(sorted(pairs, key=lambda pair: order[pair[1]])),
        tuple(node_id for node_id in before.nodes if node_id in lost),
        tuple(node_id for node_id in after.nodes if node_id in made),
    )


def _rooms(graph: ModelGraph, path: Callable[[str], str]) -> dict[Room, list[Node]]:
    rooms: defaultdict[Room, list[Node]] = defaultdict(list)
    for node in graph:
        if node.is_op:
            rooms[node.step, node.phase, path(node.module)].append(node)
    return rooms


def _stored(node: Node, path: Callable[[str], str]) -> tuple[str, str]:
    return node.op, path(node.name) if node.name else node.id


def _word(node: Node) -> Word:
    return node.op, node.call, node.inserted


def _aligned(old: Sequence[Node], new: Sequence[Node]) -> Iterator[tuple[str, str]]:
    for i, j in align([_word(node) for node in old], [_word(node) for node in new]):
        yield old[i].id, new[j].id
