"""Which layers are copies of each other: identical siblings, dtypes included, share one picture."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from analyzer.ir.graph import Node, Ref
from analyzer.picture.reading import Reading, aside, home
from analyzer.picture.repeats import repeats

RUNS: Final = 4
"""Runs of identical layers in one list that are shown one by one; of more, all that are alike share one picture."""


@dataclass(frozen=True, slots=True)
class Folded:
    """Copies mapped to their originals."""

    first: dict[str, str] = field(default_factory=dict)
    """Path of a copied module -> path of the first of its kind."""
    numbers: dict[str, str] = field(default_factory=dict)
    """Path of a first module -> the numbers that it stands for: "0-39"."""
    sizes: dict[str, int] = field(default_factory=dict)
    """Path of a first module -> number of modules that it stands for."""
    times: dict[str, int] = field(default_factory=dict)
    """Path of a module -> how often it runs the same code on the same dtypes, where that is drawn once."""
    twins: dict[str, str] = field(default_factory=dict)
    """Node id -> id of the node that stands for it."""
    aside: frozenset[str] = frozenset()
    """Nodes of no forward pass, or of a later one than the first: they are drawn only for what was found in them."""

    def path(self, module: str) -> str:
        """The module path that stands for `module`."""
        at = ""
        for part in module.split(".") if module else ():
            at = f"{at}.{part}" if at else part
            at = self.first.get(at, at)
        return at


def fold(flow: Reading) -> Folded:
    """Find identical numbered siblings and repeated runs. O(operations x depth)."""
    apart = frozenset(aside(flow.graph))
    again, times = repeats(flow, apart)
    folded = Folded(times=times, aside=apart)
    signatures = _signatures(flow, apart)
    siblings: defaultdict[str, list[int]] = defaultdict(list)
    for path in signatures:
        parent, _, last_part = path.rpartition(".")
        siblings[parent].append(int(last_part))
    for parent, numbers in siblings.items():
        for group in _alike([(n, signatures[_join(parent, n)]) for n in sorted(numbers)]):
            head = _join(parent, group[0])
            folded.first.update({_join(parent, number): head for number in group[1:]})
            folded.numbers[head] = ranges(group)
            folded.sizes[head] = len(group)
    _pair(flow, folded, again)
    return folded


def ranges(numbers: Sequence[int]) -> str:
    """Ascending numbers as people write them.

    >>> ranges([0, 1, 2, 5]), ranges([0, 2, 4, 6, 8])
    ('0-2, 5', '0, 2, 4, ...')
    """
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    shown = [str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs]
    return ", ".join(shown if len(shown) < 4 else [*shown[:3], "..."])


def _alike(layers: Sequence[tuple[int, list[object]]]) -> list[list[int]]:
    """Numbers of the layers that share one picture: runs of neighbours; where those are many, all that are alike."""
    runs: list[tuple[list[object], list[int]]] = []
    for number, signature in layers:
        if runs and number == runs[-1][1][-1] + 1 and signature == runs[-1][0]:
            runs[-1][1].append(number)
        else:
            runs.append((signature, [number]))
    if len(runs) <= RUNS:
        return [numbers for _, numbers in runs]
    groups: defaultdict[tuple[object, ...], list[int]] = defaultdict(list)
    for signature, numbers in runs:
        groups[tuple(signature)] += numbers
    return list(groups.values())


def _unseen(flow: Reading, node: Node, apart: frozenset[str]) -> bool:
    """Whether a picture shows the first forward call instead: it draws the others only where they are refused."""
    return node.id in apart and not flow.refused(node.id)


def _signatures(flow: Reading, apart: frozenset[str]) -> dict[str, list[object]]:
    found: defaultdict[str, list[object]] = defaultdict(list)
    for node in flow.graph:
        parts = node.module.split(".")
        numbered = [i for i, part in enumerate(parts) if part.isdecimal()]
        if not node.is_op or not numbered or _unseen(flow, node, apart):
            continue
        outputs = tuple((flow.dtype(Ref(node.id, i)), s.shape) for i, s in enumerate(node.outputs))
        facts = (node.op, flow.reads(node.id), outputs, bool(flow.refused(node.id)))
        for i in numbered:
            found[".".join(parts[: i + 1])].append((".".join(parts[i + 1 :]), facts))
    return found


def _pair(flow: Reading, folded: Folded, again: dict[str, str]) -> None:
    """Fill `twins`: a repeated run stands for the first one, a copied layer for the first of its kind."""
    graph = flow.graph
    paths = {module: folded.path(module) for module in {home(node) for node in graph}}
    ordinals: Counter[tuple[str, bool]] = Counter()
    keys: dict[str, object] = {}
    originals: dict[tuple[str, object], str] = {}
    for node in graph:
        where = home(node)
        kind = (where, _unseen(flow, node, folded.aside))
        keys[node.id] = (kind[1], ordinals[kind]) if node.is_op else node.name.rpartition(".")[2] or node.id
        ordinals[kind] += node.is_op
        if paths[where] == where:
            originals[where, keys[node.id]] = node.id
    for node in graph:
        twin = originals.get((paths[home(node)], keys[node.id]), node.id)
        folded.twins[node.id] = again.get(twin, twin)


def _join(parent: str, number: int) -> str:
    return f"{parent}.{number}" if parent else str(number)
