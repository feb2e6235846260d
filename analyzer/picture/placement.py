"""Gives every node its box: which modules are open, and what stands in a closed one."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Set
from dataclasses import dataclass, field

from analyzer.ir.dtypes import is_float
from analyzer.ir.graph import STOPPED, Node, Ref
from analyzer.picture.folding import Folded
from analyzer.picture.interest import Interest, mixture
from analyzer.picture.reading import Reading, home


@dataclass(frozen=True, slots=True)
class DetailLevel:
    """How much to show: stories, depth of open modules, siblings in a row, and whether parts and lists open."""

    faults: int
    depth: int
    siblings: int
    parts: bool


@dataclass
class SourceLines:
    """Node id -> box id; boxes in reading order with their cluster, kind and nodes."""

    box_of: dict[str, str] = field(default_factory=dict)
    clusters: dict[str, str] = field(default_factory=dict)
    """Box id -> module path of the cluster that it is in."""
    kinds: dict[str, str] = field(default_factory=dict)
    nodes: defaultdict[str, list[Node]] = field(default_factory=lambda: defaultdict(list))
    """Box id -> its nodes, copies included."""
    modules: defaultdict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    """Box id of closed modules -> the paths of those modules."""

    def put(self, node: Node, box: str, kind: str, cluster: str) -> None:
        """Put a node into a box, which is made if need be."""
        self.box_of[node.id] = box
        self.kinds.setdefault(box, kind)
        self.clusters.setdefault(box, cluster)
        self.nodes[box].append(node)


def levels(path: str) -> list[str]:
    """The modules around a path that can be opened, the model itself ("") first; a list and its number are one.

    >>> levels("llm.layers.0.mlp")
    ['', 'llm', 'llm.layers.0', 'llm.layers.0.mlp']
    """
    found = [""]
    parts = path.split(".") if path else []
    for i, part in enumerate(parts):
        last = i + 1 == len(parts)
        if last or part.isdecimal() or not parts[i + 1].isdecimal():
            found.append(".".join(parts[: i + 1]))
    return found


def place(flow: Reading, folded: Folded, interest: Interest, effort: DetailLevel) -> SourceLines:
    """Put every operation, and every stored tensor that is worth it, into a box."""
    open_ = _open(flow, folded, interest, effort)
    groups = _groups(flow, folded, open_, effort.siblings)
    places = SourceLines()
    meeting = _meeting(flow, interest)
    glue = 0
    previous = ""
    for node in flow.graph:
        own = node.id in interest.drawn or node.id in interest.also
        if folded.twins[node.id] != node.id or (node.id in folded.aside and not own):
            continue
        closed, where = _around(folded.path(home(node)), open_)
        if not node.is_op:
            if node.id in interest.drawn or (node.op == "input" and is_float(node.dtype)):
                places.put(node, f"{node.op}:{node.id}", node.op, where)
            continue
        if closed is not None:
            box, kind = f"module:{groups.get(closed, closed)}", "module"
            if closed not in places.modules[box]:
                places.modules[box].append(closed)
        elif own:
            box, kind = f"op:{node.id}", "stop" if node.op == STOPPED else "op"
        else:
            kind = "glue"
            if not _continues(flow, node, places, previous, where, meeting):
                glue += 1
            box = f"glue:{glue}"
        places.put(node, box, kind, where)
        previous = box
    _put_copies(flow, folded, places)
    return places


def _meeting(flow: Reading, interest: Interest) -> frozenset[str]:
    """The dtypes that meet in the faults that are drawn."""
    return frozenset().union(*[{*odd, target} for odd, target in (mixture(flow, n) for n in interest.faults)])


def _continues(flow: Reading, node: Node, places: SourceLines, box: str, where: str, meeting: Set[str]) -> bool:
    """Whether an operation that nobody asks about goes on with the last ones.

    Not where they are of two dtypes that meet in a fault, and it does not read them.
    """
    if places.kinds.get(box) != "glue" or places.clusters[box] != where:
        return False
    dtypes = {flow.dtype(Ref(one.id)) for one in (node, places.nodes[box][-1]) if one.outputs}
    reads = any(places.box_of.get(ref.id) == box for ref in node.operands())
    return reads or len(dtypes) < 2 or not dtypes <= meeting


def _around(path: str, open_: Set[str]) -> tuple[str | None, str]:
    """The outermost closed module on the way down to a path, None if all are open, and the open one around that."""
    where = ""
    for level in levels(path):
        if level not in open_:
            return level, where
        where = level
    return None, where


def _put_copies(flow: Reading, folded: Folded, places: SourceLines) -> None:
    """Put what is folded away into the box of its original."""
    for node in flow.graph:
        twin = folded.twins[node.id]
        if twin != node.id and twin in places.box_of:
            box = places.box_of[twin]
            places.put(node, box, places.kinds[box], places.clusters[box])


def _open(flow: Reading, folded: Folded, interest: Interest, effort: DetailLevel) -> set[str]:
    found = ({""} if effort.depth >= 0 else set()) | interest.opened
    for node_id in interest.drawn:
        node = flow.graph[node_id]
        if node.is_op:
            found.update(levels(folded.path(node.module))[: effort.depth + 1])
    if effort.parts:
        modules = dict.fromkeys(folded.path(node.module) for node in flow.graph.ops())
        parents = {parent for module in modules for parent in levels(module)[:-1]}
        for module in modules:
            around = [level for level in levels(module) if level in parents]  # a leaf has nothing to open
            copied = next((i for i, path in enumerate(around) if folded.sizes.get(path, 1) > 1), 0)
            found.update(around[: max(copied, 2)] if not copied or copied > 1 else around[:copied])
    return found


def _groups(flow: Reading, folded: Folded, open_: Iterable[str], most: int) -> dict[str, str]:
    """Closed numbered siblings that are not alike, when there are too many: path -> name of the list they share."""
    opened = set(open_)
    lists: defaultdict[str, dict[str, None]] = defaultdict(dict)
    for module in dict.fromkeys(folded.path(home(node)) for node in flow.graph.ops()):
        closed = next((level for level in levels(module) if level not in opened), "")
        parent, _, number = closed.rpartition(".")
        if number.isdecimal() and folded.sizes.get(closed, 1) == 1:
            lists[parent][closed] = None
    return {path: f"{parent}.*" for parent, paths in lists.items() if len(paths) > most for path in paths}
