"""Which layers are copies of each other: identical siblings in a row, dtypes included, share one picture."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from analyzer.graph import ModelGraph, Node, Ref


class Reading(Protocol):
    """What a view needs of a flow."""

    @property
    def graph(self) -> ModelGraph:
        """The graph that is read."""

    def dtype(self, ref: Ref) -> str:
        """The dtype of an operand."""

    def reads(self, node_id: str) -> tuple[str, ...]:
        """The dtypes of the operands of a node."""

    def refused(self, node_id: str) -> str:
        """The kernel's words, or ""."""


@dataclass(frozen=True)
class Folded:
    """Copies mapped to their originals."""

    first: dict[str, str]
    """Path of a copied module -> path of the first of its kind."""
    last: dict[str, str]
    """Path of a first module -> path of its last copy."""
    sizes: dict[str, int]
    """Path of a first module -> number of modules that it stands for."""
    twins: dict[str, str]
    """Node id -> id of the node that stands for it."""
    aside: frozenset[str]
    """Nodes of no forward pass, or of a later one than the first: they are drawn only for what was found in them."""

    def path(self, module: str) -> str:
        """The module path that stands for `module`."""
        at = ""
        for part in module.split(".") if module else ():
            at = f"{at}.{part}" if at else part
            at = self.first.get(at, at)
        return at


def home(node: Node) -> str:
    """The module path that a node belongs to; a stored tensor belongs where its name says."""
    return node.module if node.is_op else node.name.rpartition(".")[0]


def fold(flow: Reading) -> Folded:
    """Find runs of identical numbered siblings. O(operations x depth)."""
    aside = frozenset(_aside(flow.graph))
    signatures = _signatures(flow, aside)
    siblings: defaultdict[str, list[int]] = defaultdict(list)
    for path in signatures:
        parent, _, last_part = path.rpartition(".")
        siblings[parent].append(int(last_part))
    first: dict[str, str] = {}
    last: dict[str, str] = {}
    sizes: Counter[str] = Counter()
    for parent, numbers in siblings.items():
        head = previous = -2
        for number in sorted(numbers):
            path = _join(parent, number)
            if number == previous + 1 and signatures[path] == signatures[_join(parent, head)]:
                first[path] = _join(parent, head)
                last[_join(parent, head)] = path
                sizes[_join(parent, head)] += 1
            else:
                head = number
                sizes[path] = 1
            previous = number
    folded = Folded(first, last, dict(sizes), {}, aside)
    _pair(flow, folded)
    return folded


def _signatures(flow: Reading, aside: frozenset[str]) -> dict[str, list[object]]:
    found: defaultdict[str, list[object]] = defaultdict(list)
    for node in flow.graph:
        parts = node.module.split(".")
        numbered = [i for i, part in enumerate(parts) if part.isdecimal()]
        if not node.is_op or not numbered or _unseen(flow, node, aside):
            continue
        outputs = tuple((flow.dtype(Ref(node.id, i)), s.shape) for i, s in enumerate(node.outputs))
        facts = (node.op, flow.reads(node.id), outputs, bool(flow.refused(node.id)))
        for i in numbered:
            found[".".join(parts[: i + 1])].append((".".join(parts[i + 1 :]), facts))
    return found


def _aside(graph: ModelGraph) -> Iterator[str]:
    first = ""
    for node in graph:
        first = first or node.step
        if node.phase or node.step != first:
            yield node.id


def _unseen(flow: Reading, node: Node, aside: frozenset[str]) -> bool:
    """Whether a picture shows the first forward call instead: it draws the others only where they are refused."""
    return node.id in aside and not flow.refused(node.id)


def _pair(flow: Reading, folded: Folded) -> None:
    graph = flow.graph
    paths = {module: folded.path(module) for module in {home(node) for node in graph}}
    ordinals: Counter[tuple[str, bool]] = Counter()
    originals: dict[tuple[str, object], str] = {}
    for node in graph:
        where = home(node)
        if node.is_op:
            kind = (where, _unseen(flow, node, folded.aside))
            key: object = (kind[1], ordinals[kind])
            ordinals[kind] += 1
        else:
            key = node.name.rpartition(".")[2] or node.id
        if paths[where] == where:
            originals[where, key] = node.id
    ordinals.clear()
    for node in graph:
        where = home(node)
        kind = (where, _unseen(flow, node, folded.aside))
        key = (kind[1], ordinals[kind]) if node.is_op else node.name.rpartition(".")[2] or node.id
        ordinals[kind] += node.is_op
        folded.twins[node.id] = originals.get((paths[where], key), node.id)


def _join(parent: str, number: int) -> str:
    return f"{parent}.{number}" if parent else str(number)
