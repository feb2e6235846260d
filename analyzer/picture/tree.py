"""The model as a tree to leaf through: modules, and in each its tensors and operations in reading order."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from analyzer.ir.dtypes import short
from analyzer.ir.findings import Finding
from analyzer.ir.graph import NOWHERE, Node, Place, Ref
from analyzer.picture.boxes import described, module_label, op_label
from analyzer.picture.folding import Folded, fold
from analyzer.picture.interest import Interest, interest, mixture
from analyzer.picture.placement import levels
from analyzer.picture.reading import Reading, home

LEAVES: Final = 8000
"""Rows and modules in a tree; beyond that only those are listed that a finding or a mixture needs."""


@dataclass(frozen=True, slots=True)
class Leaf:
    """One operation or stored tensor."""

    node: str
    kind: str
    """op, or a kind of stored tensor."""
    label: str
    dtype: str
    outputs: str
    """Dtypes and shapes: `bf16[2,3]`."""
    reads: str
    place: Place
    reason: str = ""
    findings: tuple[int, ...] = ()
    stories: tuple[int, ...] = ()
    mixes: bool = False
    """Whether dtypes meet here, a story passes, or something was found."""


@dataclass(slots=True)
class Branch:
    """A module, with what is in it."""

    path: str
    label: str
    entries: list[Leaf | Branch] = field(default_factory=list)
    hidden: int = 0
    """Operations that are not listed."""
    tensors: Counter[str] = field(default_factory=Counter)
    """Dtype -> parameters in it and below, those of copies included."""
    dtype: str = ""
    """Of the last operation in it."""
    findings: set[int] = field(default_factory=set)
    mixes: bool = False

    def leaves(self) -> Iterator[Leaf]:
        """All rows, depth first."""
        for entry in self.entries:
            if isinstance(entry, Leaf):
                yield entry
            else:
                yield from entry.leaves()


def tree(flow: Reading, findings: Sequence[Finding]) -> Branch:
    """The whole model, each picture of identical layers and repeated runs once."""
    folded = fold(flow)
    seen = interest(flow, findings, folded, len(findings))
    numbers = _numbers(findings, folded)
    root = Branch("", module_label(folded, "", ""))
    branches = {"": root}
    tensors: defaultdict[str, Counter[str]] = defaultdict(Counter)
    rows = 0
    for node in flow.graph:
        found = numbers.get(node.id, {})
        path = folded.path(home(node))
        if node.op == "parameter":
            for level in levels(path):
                tensors[level][flow.dtype(Ref(node.id))] += 1
        if folded.twins[node.id] != node.id or (node.id in folded.aside and not found):
            continue
        leaf = _leaf(flow, node, seen, tuple(found))
        listed = leaf.mixes or rows + len(branches) < LEAVES
        around = list(_around(branches, folded, path, listed))
        for branch in around:
            branch.findings.update(found)
            branch.mixes |= leaf.mixes
            if node.is_op:
                branch.dtype = leaf.dtype or branch.dtype
        if listed:
            around[-1].entries.append(leaf)
            rows += 1
        else:
            around[-1].hidden += 1
    for path, branch in branches.items():
        branch.tensors = tensors[path]
    return root


def _numbers(findings: Sequence[Finding], folded: Folded) -> Mapping[str, dict[int, None]]:
    found: defaultdict[str, dict[int, None]] = defaultdict(dict)
    for number, finding in enumerate(findings, 1):
        for node_id in finding.nodes:
            found[folded.twins.get(node_id, node_id)][number] = None
    return found


def _around(branches: dict[str, Branch], folded: Folded, path: str, grow: bool) -> Iterator[Branch]:
    """The branches from the model down to a module; those that are not there yet are made if it may grow."""
    parent = branches[""]
    yield parent
    for level in levels(path)[1:]:
        if level not in branches:
            if not grow:
                return
            branches[level] = Branch(level, module_label(folded, level, parent.path))
            parent.entries.append(branches[level])
        parent = branches[level]
        yield parent


def _leaf(flow: Reading, node: Node, seen: Interest, found: tuple[int, ...]) -> Leaf:
    stories = seen.stories.get(node.id, ())
    mixed = node.is_op and bool(mixture(flow, node.id)[1])
    return Leaf(
        node.id,
        "op" if node.is_op else node.op,
        op_label([node]) if node.is_op else (node.name or node.id),
        flow.dtype(Ref(node.id)) if node.outputs else "",
        ", ".join(described(flow, node, i, spec) for i, spec in enumerate(node.outputs)),
        ", ".join(short(dtype) for dtype in flow.reads(node.id)),
        node.place if node.place != NOWHERE else NOWHERE,
        flow.refused(node.id) or node.reason.text,
        found,
        stories,
        mixed or bool(found or stories),
    )
