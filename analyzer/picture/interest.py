"""What a reviewer must see: the operations of the findings, and the way the odd dtype took to reach them."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final

from analyzer.ir.dtypes import is_float, short, width
from analyzer.ir.findings import Finding, Origin
from analyzer.ir.graph import Ref, above
from analyzer.ir.literal_types import SEVERITIES
from analyzer.picture.folding import Folded
from analyzer.picture.reading import Reading, home

SHOWN: Final = ("error", "warning")
LONG_WAY: Final = 8
"""Operations on the way from an origin that are all shown; of a longer way, only those where dtypes meet."""
BESIDE: Final = 3
"""Stories up to which warnings are told beside errors."""
PLACES: Final = 12
"""Further places of one finding that may have a box of their own, after folding."""


@dataclass
class Interest:
    """Nodes to be drawn as boxes of their own; ids are those of the originals."""

    faults: dict[str, int] = field(default_factory=dict)
    """Node id -> number of the finding whose story ends there."""
    drawn: dict[str, None] = field(default_factory=dict)
    """Every node with a box of its own: faults, the way to them, stored tensors that take part."""
    also: dict[str, None] = field(default_factory=dict)
    """Further places of those findings: boxes of their own where their module is open anyway."""
    stories: dict[str, tuple[int, ...]] = field(default_factory=dict)
    """Node id -> numbers of the findings whose story passes it."""
    ways: dict[tuple[str, str], tuple[int, ...]] = field(default_factory=dict)
    """(node id, reader) -> numbers of the findings whose story goes this way."""
    opened: set[str] = field(default_factory=set)
    """Modules that are open whatever is in them."""
    origins: dict[str, Origin] = field(default_factory=dict)
    """Node id -> the origin of a story that begins there."""

    def tell(self, number: int, way: Sequence[str]) -> None:
        """Note that a story goes from node to node."""
        for node_id in way:
            self.stories[node_id] = tuple(sorted({*self.stories.get(node_id, ()), number}))
        for pair in pairwise(way):
            self.ways[pair] = tuple(sorted({*self.ways.get(pair, ()), number}))


def interest(flow: Reading, findings: Sequence[Finding], folded: Folded, limit: int, only: int = 0) -> Interest:
    """Collect what the worst findings need, at most `limit` stories, one a finding; `only` one if it is numbered."""
    found = Interest()
    ranked = sorted(enumerate(findings, 1), key=lambda item: item[1].rank)
    wanted = [(n, f) for n, f in ranked if (n == only if only else f.severity in SHOWN)]
    errors = any(finding.severity == "error" for _, finding in wanted)
    for number, finding in wanted:
        places = list(dict.fromkeys(folded.twins[n] for n in finding.nodes if n in folded.twins))
        fresh = [node_id for node_id in places if node_id not in found.faults]
        most = min(limit, BESIDE) if finding.severity != "error" and errors else limit
        if fresh and len(found.faults) >= most:
            found.also.update(dict.fromkeys(fresh[:PLACES]))
        elif fresh:
            found.faults[fresh[0]] = number
            _follow(flow, fresh[0], number, finding, folded, found)
            found.also.update(dict.fromkeys(fresh[1 : PLACES + 1]))
    found.drawn.update(dict.fromkeys(found.faults))
    if flow.graph.stop:
        found.drawn[flow.graph.stop.id] = None
    return found


def mixture(flow: Reading, node_id: str) -> tuple[frozenset[str], str]:
    """The odd dtypes that a node reads, and the dtype they meet there ("" when nothing is mixed)."""
    node = flow.graph[node_id]
    reads = [pair for pair in zip(node.operands(), flow.reads(node_id), strict=True) if is_float(pair[1])]
    floats = {dtype for _, dtype in reads}
    if node.odd:
        given = flow.reads(node_id)
        odd = {given[at] for at in node.odd if at < len(given)} - {node.repair}
        return frozenset(odd), node.repair if odd else ""
    if node.repair and floats - {node.repair}:
        return frozenset(floats - {node.repair}), node.repair
    floats = {dtype for ref, dtype in reads if flow.graph.spec(ref).shape} or floats  # a 0-dim tensor promotes no other
    if len(floats) < 2:
        return frozenset(), ""
    wide = max(floats, key=lambda d: (width(d), d))
    return frozenset({wide}), max(floats - {wide}, key=lambda d: (width(d), d))


def meeting(flow: Reading, node_id: str, dtype: str) -> str:
    """`f32 -> bf16` when `dtype` is the odd one at a node, else ""."""
    odd, target = mixture(flow, node_id)
    return f"{short(dtype)} -> {short(target)}" if dtype in odd else ""


def worst(findings: Iterable[Finding]) -> Finding | None:
    """The first finding in the report's order."""
    return min(findings, key=lambda f: (SEVERITIES.index(f.severity), f.rank), default=None)


def _follow(flow: Reading, node_id: str, number: int, finding: Finding, folded: Folded, found: Interest) -> None:
    origins = {origin.name: origin for operand in finding.operands for origin in operand.origins}
    found.tell(number, [node_id])
    for way in _ways(flow, node_id, set(origins), folded, found):
        meet = [w for w in way if mixture(flow, w)[1]]
        keep = way if len(way) <= LONG_WAY else [way[0], *meet[-LONG_WAY:], way[-1]]
        found.drawn.update(dict.fromkeys(keep))
        found.tell(number, [*dict.fromkeys(way), node_id])
        named = [origin for name, origin in origins.items() if name in _names(flow, way[0])]
        found.origins.update(dict.fromkeys(way[:1], *named[:1]) if named else {})


def _ways(flow: Reading, node_id: str, names: set[str], folded: Folded, found: Interest) -> list[list[str]]:
    """The ways to tell: those that the odd dtypes took to a node, each from its origin, one for each module and dtype.

    Other stored tensors that belong with them have a box of their own at the node.
    """
    odd, _ = mixture(flow, node_id)
    ways: dict[tuple[str, str], list[str]] = {}
    for ref in dict.fromkeys(flow.graph[node_id].operands()):
        dtype = flow.dtype(ref)
        told = dtype in odd or (not odd and is_float(dtype))
        if not told and not is_float(dtype):
            continue
        way = [folded.twins[w] for w in _told(flow, ref, names if told else set())]
        if told and way:
            begins = flow.graph[way[0]]
            key = (dtype, begins.id if begins.is_op else home(begins))
            if key in ways and begins.is_matrix:
                ways[key], way = way, ways[key]
            if ways.setdefault(key, way) is not way:
                found.drawn[way[0]] = None  # the bias beside the weight, which tells the same
        elif way and home(flow.graph[way[0]]) in {*above(flow.graph[node_id].module)} - {""}:
            found.drawn[way[0]] = None  # the weight that the odd operand meets
    return list(ways.values())


def _told(flow: Reading, start: Ref, names: set[str]) -> list[str]:
    """The way in one dtype, else through what turns one kind into another."""
    return _way(flow, start, names) or (_way(flow, start, names, kinds=True) if names else [])


def _names(flow: Reading, node_id: str) -> set[str]:
    node = flow.graph[node_id]
    return {node.name or node.id, node.call, node.id}


def _way(flow: Reading, start: Ref, names: set[str], *, kinds: bool = False) -> list[str]:
    """Node ids from the first origin with one of the names, else from the nearest stored tensor, to an operand.

    It stays in one dtype, unless it may go through what turns one kind into another (`kinds`).
    """
    dtype = flow.dtype(start)
    back: dict[str, str] = {start.id: ""}
    queue = deque([start])
    while queue:
        node = flow.graph[queue.popleft().id]
        if _names(flow, node.id) & names or (not names and not node.is_op):
            way = [node.id]
            while back[way[-1]]:
                way.append(back[way[-1]])
            return way
        for ref in node.operands():
            if (kinds or flow.dtype(ref) == dtype) and ref.id not in back:
                back[ref.id] = node.id
                queue.append(ref)
    return []
