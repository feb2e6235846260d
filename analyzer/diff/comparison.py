"""Compares two reports: findings by key, dtypes on matched edges, modules, casts, stored tensors."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from analyzer.diff.changes import changes
from analyzer.diff.matching import Matched, match
from analyzer.diff.renamed_modules import Renaming, renaming
from analyzer.errors import AnalyzerError
from analyzer.ir.findings import Finding
from analyzer.ir.graph import CAST, ModelGraph, Node, Place, in_any_layer
from analyzer.ir.text import op_name
from analyzer.report import Report


@dataclass(frozen=True, slots=True, order=True)
class Edge:
    """Operands whose dtype changed, at one position of one call, all layers of a stack together."""

    module: str
    call: str
    position: int
    before: str
    after: str
    place: Place = field(compare=False)
    count: int = field(default=1, compare=False)


@dataclass(frozen=True, slots=True, order=True)
class Item:
    """Modules, casts or operations that only one side has, all layers of a stack together."""

    module: str
    what: str
    count: int = field(default=1, compare=False)


@dataclass(frozen=True, slots=True, order=True)
class Tensor:
    """A stored tensor that changed, all layers together; a dtype of "" is a side that does not have it."""

    kind: str
    name: str
    before: str
    after: str
    count: int = field(default=1, compare=False)
    bytes: int = field(default=0, compare=False)
    """How many more bytes they take after than before."""


@dataclass(frozen=True, slots=True, order=True)
class Renamed:
    """Modules that only have another path, all layers of a stack together."""

    before: str
    after: str
    what: str
    """Their class."""
    count: int = field(default=1, compare=False)


@dataclass(frozen=True, slots=True)
class Stage:
    """What differs between two runs of one stage."""

    before: Report
    after: Report
    matched: Matched
    new: tuple[Finding, ...]
    gone: tuple[Finding, ...]
    edges: tuple[Edge, ...]
    modules: tuple[tuple[Item, ...], tuple[Item, ...]]
    """Gone and new ones: the topmost."""
    renamed: tuple[Renamed, ...]
    casts: tuple[tuple[Item, ...], tuple[Item, ...]]
    ops: tuple[tuple[Item, ...], tuple[Item, ...]]
    """Other operations."""
    tensors: tuple[Tensor, ...]

    @property
    def outputs(self) -> bool:
        """Whether the dtypes of the results differ."""
        return self.before.outputs != self.after.outputs

    @property
    def bytes(self) -> tuple[int, int]:
        """Bytes of all stored tensors, before and after."""
        return _bytes(self.before), _bytes(self.after)

    @property
    def stops(self) -> tuple[str, str]:
        """Why the runs stopped early."""
        return self.before.coverage.incomplete, self.after.coverage.incomplete

    @property
    def empty(self) -> bool:
        """Whether nothing differs."""
        parts = (self.new, self.gone, self.edges, *self.modules, self.renamed, *self.casts, *self.ops, self.tensors)
        return not (any(parts) or self.outputs or bool(self.stops[0]) != bool(self.stops[1]))


@dataclass(frozen=True, slots=True)
class Difference:
    """What differs between two reports, stage by stage."""

    stages: tuple[Stage, ...]
    names: tuple[str, str]
    """What the two sides are called."""

    @property
    def empty(self) -> bool:
        """Whether nothing differs, as far as both runs went."""
        return all(stage.empty for stage in self.stages)

    @property
    def incomplete(self) -> str:
        """Why a run stopped early, of the first that did; "" if every run came to its end."""
        return next((why for stage in self.stages for why in stage.stops if why), "")


def compare(before: Report, after: Report, names: tuple[str, str]) -> Difference:
    """Compare two reports. Raises AnalyzerError where one has stages that the other has not."""
    old, new = ([one.plan.stage for one in side.stages] for side in (before, after))
    if len(old) != len(new) or (old != new and len(old) > 1):
        stages = " and ".join(", ".join(filter(None, side)) or "one run" for side in (old, new))
        raise AnalyzerError(f"the two sides have other stages: {stages}", hint="pick one with --stage")
    pairs = zip(before.stages, after.stages, strict=True)
    return Difference(tuple(_stage(a, b) for a, b in pairs), names)


def _stage(before: Report, after: Report) -> Stage:
    known = renaming(before.flow.inventory, after.flow.inventory)
    matched = match(before.graph, after.graph, known)
    gone = [before.graph[node_id] for node_id in matched.gone]
    new = [after.graph[node_id] for node_id in matched.new]
    appeared, cleared = changes(before, after, matched, known)
    old, made = _modules(before, after)
    lost = {known(path): name for path, name in old.items()}
    back = {known(path): path for path in old}
    return Stage(
        before,
        after,
        matched,
        appeared,
        cleared,
        _edges(before, after, matched),
        (_topmost(lost, made, back), _topmost(made, lost)),
        _renamed(known, after.flow.inventory.classes),
        (_items(gone, casts=True), _items(new, casts=True)),
        (_items(gone, casts=False), _items(new, casts=False)),
        _tensors(before, after, known),
    )


def _edges(before: Report, after: Report, matched: Matched) -> tuple[Edge, ...]:
    found: defaultdict[Edge, list[str]] = defaultdict(list)
    for old_id, new_id in matched.pairs:
        node = after.graph[new_id]
        reads = zip(before.flow.reads(old_id), after.flow.reads(new_id), strict=False)
        for i, (old, new) in enumerate(reads):
            if old != new:
                edge = Edge(in_any_layer(node.module), node.call or node.op, i, old, new, node.place)
                found[edge].append(node.module)
    return tuple(replace(edge, module=_name(real), count=len(real)) for edge, real in found.items())


def _name(real: Sequence[str]) -> str:
    """One name for those that are alike but for the layer; the layer is named where it is but one."""
    return real[0] if len(set(real)) == 1 else in_any_layer(real[0])


def _modules(before: Report, after: Report) -> tuple[Mapping[str, str], Mapping[str, str]]:
    """Path -> class of the modules of each side; where one side does not tell them, of those that ran."""
    old, new = before.flow.inventory.classes, after.flow.inventory.classes
    return (old, new) if old and new else (_entered(before.graph), _entered(after.graph))


def _entered(graph: ModelGraph) -> Mapping[str, str]:
    return {node.module: "" for node in graph.ops()}


def _topmost(
    mine: Mapping[str, str], other: Mapping[str, str], own: Mapping[str, str] | None = None
) -> tuple[Item, ...]:
    """Modules that the other side does not have, or of another class, without those inside of these.

    `own` has the path of each on its own side, where that differs.
    """
    only = {path for path, name in mine.items() if path not in other or other[path] != name}
    top = [path for path in mine if path in only and path.rpartition(".")[0] not in only]
    return _counted((own[path] if own else path, mine[path]) for path in top)


def _renamed(known: Renaming, classes: Mapping[str, str]) -> tuple[Renamed, ...]:
    found: defaultdict[Renamed, list[tuple[str, str]]] = defaultdict(list)
    for before, after in known.pairs.items():
        found[Renamed(in_any_layer(before), in_any_layer(after), classes[after])].append((before, after))
    return tuple(
        replace(one, before=_name([a for a, _ in real]), after=_name([b for _, b in real]), count=len(real))
        for one, real in found.items()
    )


def _items(nodes: Iterable[Node], *, casts: bool) -> tuple[Item, ...]:
    ops = (node for node in nodes if node.is_op and (node.op == CAST) == casts)
    return _counted((node.module, _what(node)) for node in ops)


def _what(node: Node) -> str:
    name = op_name(node.op)
    name = f"{node.call}: {name}" if node.call and node.call != name.partition(".")[0] else name
    if node.op == CAST:
        name = f"cast to {node.dtype}" + (f" by {node.inserted}" if node.inserted else "")
    name = f"{node.phase} of {name}" if node.phase else name
    return f"{node.step}: {name}" if node.step else name


def _counted(parts: Iterable[tuple[str, str]]) -> tuple[Item, ...]:
    found: defaultdict[Item, list[str]] = defaultdict(list)
    for module, what in parts:
        found[Item(in_any_layer(module), what)].append(module)
    return tuple(replace(item, module=_name(real), count=len(real)) for item, real in found.items())


def _tensors(before: Report, after: Report, path: Callable[[str], str]) -> tuple[Tensor, ...]:
    old = {(held.kind, path(held.name)): held.spec for held in before.flow.inventory.tensors}
    own = {(held.kind, path(held.name)): held.name for held in before.flow.inventory.tensors}
    new = {(held.kind, held.name): held.spec for held in after.flow.inventory.tensors}
    found: defaultdict[Tensor, list[str]] = defaultdict(list)
    sizes: Counter[Tensor] = Counter()
    for kind, name in {**old, **new}:
        a, b = old.get((kind, name)), new.get((kind, name))
        if a != b:
            name = name if b else own[kind, name]
            one = Tensor(kind, in_any_layer(name), a.dtype if a else "", b.dtype if b else "")
            found[one].append(name)
            sizes[one] += (b.bytes if b else 0) - (a.bytes if a else 0)
    return tuple(replace(one, name=_name(real), count=len(real), bytes=sizes[one]) for one, real in found.items())


def _bytes(report: Report) -> int:
    return sum(held.spec.bytes for held in report.flow.inventory.tensors)
