"""What a reviewer must see: the operations of the findings, and the way the odd dtype took to reach them."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from analyzer.dtypes import is_float, short, width
from analyzer.findings import SEVERITIES, Finding
from analyzer.graph import Ref
from analyzer.view.folding import Folded, Reading

SHOWN: Final = ("error", "warning")
LONG_WAY: Final = 8
"""Operations on the way from an origin that are all shown; of a longer way, only those where dtypes meet."""
PLACES: Final = 12
"""Places of one finding that are shown, after folding."""


@dataclass
class Interest:
    """Nodes to be drawn as boxes of their own; ids are those of the originals."""

    faults: dict[str, Finding] = field(default_factory=dict)
    """Node id -> the worst finding there."""
    drawn: dict[str, None] = field(default_factory=dict)
    """Every node with a box of its own: faults, the way to them, stored tensors that take part."""


def interest(flow: Reading, findings: Iterable[Finding], folded: Folded, limit: int) -> Interest:
    """Collect what the worst findings need, at most `limit` faulty places."""
    found = Interest()
    for finding in sorted(findings, key=lambda f: f.rank):
        if finding.severity not in SHOWN:
            continue
        places = dict.fromkeys(folded.twins[n] for n in finding.nodes if n in folded.twins)
        for node_id in list(places)[:PLACES]:
            if len(found.faults) < limit and node_id not in found.faults:
                found.faults[node_id] = finding
                _follow(flow, node_id, finding, folded, found)
    if flow.graph.stop:
        found.drawn[flow.graph.stop.id] = None
    for node_id in found.faults:
        found.drawn[node_id] = None
        for ref in flow.graph[node_id].operands():
            if not flow.graph[ref.id].is_op and is_float(flow.dtype(ref)):
                found.drawn[folded.twins[ref.id]] = None
    return found


def mixture(flow: Reading, node_id: str) -> tuple[frozenset[str], str]:
    """The odd dtypes that a node reads, and the dtype they meet there ("" when nothing is mixed)."""
    node = flow.graph[node_id]
    floats = {d for d in flow.reads(node_id) if is_float(d)}
    if node.repair and floats - {node.repair}:
        return frozenset(floats - {node.repair}), node.repair
    if len(floats) < 2:
        return frozenset(), ""
    wide = max(floats, key=lambda d: (width(d), d))
    return frozenset({wide}), max(floats - {wide}, key=lambda d: (width(d), d))


def meeting(flow: Reading, node_id: str, dtype: str) -> str:
    """`f32 -> bf16` when `dtype` is the odd one at a node, else ""."""
    odd, target = mixture(flow, node_id)
    return f"{short(dtype)} -> {short(target)}" if dtype in odd else ""


def _follow(flow: Reading, node_id: str, finding: Finding, folded: Folded, found: Interest) -> None:
    odd, _ = mixture(flow, node_id)
    origins = {origin.name for operand in finding.operands for origin in operand.origins}
    for ref in flow.graph[node_id].operands():
        dtype = flow.dtype(ref)
        if not is_float(dtype):
            continue
        way = _way(flow, ref, origins if dtype in odd or not odd else set())
        if dtype in odd or not odd:
            meet = [w for w in way if mixture(flow, w)[1]]
            keep = way if len(way) <= LONG_WAY else [way[0], *meet[-LONG_WAY:], way[-1]]
            found.drawn.update(dict.fromkeys(folded.twins[w] for w in keep))
        elif way and not flow.graph[way[-1]].is_op:
            found.drawn[folded.twins[way[-1]]] = None


def _way(flow: Reading, start: Ref, names: set[str]) -> list[str]:
    """Node ids from an operand back to the first origin with one of the names, else to the nearest stored tensor."""
    dtype = flow.dtype(start)
    back: dict[str, str] = {start.id: ""}
    queue = deque([start])
    while queue:
        node = flow.graph[queue.popleft().id]
        if {node.name or node.id, node.call, node.id} & names or (not names and not node.is_op):
            way = [node.id]
            while back[way[-1]]:
                way.append(back[way[-1]])
            return way[::-1]
        for ref in node.operands():
            if flow.dtype(ref) == dtype and ref.id not in back:
                back[ref.id] = node.id
                queue.append(ref)
    return []


def worst(findings: Iterable[Finding]) -> Finding | None:
    """The first finding in the report's order."""
    return min(findings, key=lambda f: (SEVERITIES.index(f.severity), f.rank), default=None)
