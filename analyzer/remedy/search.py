"""Search without running: where an odd dtype comes from, the fewest places that cut it off, and what-if readings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import networkx as nx

from analyzer.dtypes import is_float
from analyzer.findings import Finding, Origin
from analyzer.graph import CAST, Place, Ref, causes
from analyzer.plan import names
from analyzer.propagate import Flow, propagate
from analyzer.remedy.proposal import Proposal

_SOURCE, _SINK = ("source",), ("sink",)
_CASTABLE: Final = ("parameter", "buffer", "input")


def odd_refs(flow: Flow, node_id: str, wanted: str = "") -> Iterator[Ref]:
    """Operands of a refused call that have another dtype than the wanted one, or than its repair gave them."""
    wanted = wanted or flow.graph[node_id].repair
    for ref in flow.graph[node_id].operands():
        if wanted and is_float(flow.dtype(ref)) and flow.dtype(ref) != wanted:
            yield ref


def odd_origins(flow: Flow, node_id: str, wanted: str = "") -> Iterator[Origin]:
    """The stored tensors that those operands have their dtype from."""
    for ref in odd_refs(flow, node_id, wanted):
        yield from (origin for origin in flow.origins(ref) if origin.kind in _CASTABLE)


def fewest(flow: Flow, findings: Sequence[Finding]) -> list[str | Place]:
    """The fewest casts that keep every odd dtype from its refused call: names of tensors, and source places.

    A minimum vertex cut. All nodes of one source line are one vertex, as a cast written there acts on all of them.
    """
    graph: Any = nx.DiGraph()
    graph.add_nodes_from((_SOURCE, _SINK))
    seen: set[Ref] = set()
    refused = [n for f in findings if f.severity == "error" and not f.tensors for n in f.nodes]
    for node_id in refused:
        for ref in odd_refs(flow, node_id):
            _walk(flow, ref, graph, seen)
    if not nx.has_path(graph, _SOURCE, _SINK):
        return []
    cut = nx.minimum_cut(graph, _SOURCE, _SINK)[1][0]
    crossed = [key for key in _vertices(graph) if (key, "in") in cut and (key, "out") not in cut]
    return sorted(crossed, key=lambda key: (isinstance(key, Place), str(key)))


def predicted(flow: Flow, proposal: Proposal) -> int | None:
    """How many calls would be refused under a proposal, by propagation alone; None where it cannot tell."""
    if proposal.edit or proposal.inputs or not set(proposal.change) <= {"set", "to"}:
        return None
    changed = {
        node.id: dtype
        for node in flow.graph.stored()
        if node.op in ("parameter", "buffer") and is_float(node.dtype) and (dtype := _given(proposal, node.name))
    }
    what_if = propagate(flow.graph, flow.plan, changed)
    return len(causes(flow.graph[node_id] for node_id in what_if.refusals))


def _given(proposal: Proposal, name: str) -> str:
    dtype = str(proposal.change.get("to") or "")
    given: Mapping[str, str] = proposal.change.get("set") or {}
    for pattern, one in given.items():
        if names(pattern, name):
            dtype = one
    return dtype


def _walk(flow: Flow, start: Ref, graph: Any, seen: set[Ref]) -> None:
    """Add the ways by which an operand got its dtype; a vertex is two nodes joined by an edge of capacity one.

    The ways behind what was `seen` are there already.
    """
    dtype = flow.dtype(start)
    graph.add_edge((_vertex(graph, flow, start), "out"), _SINK)
    queue = [] if start in seen else [start]
    seen.add(start)
    while queue:
        ref = queue.pop()
        here = _vertex(graph, flow, ref)
        node = flow.graph[ref.id]
        same = [r for r in node.operands() if flow.dtype(r) == dtype]
        given = not node.is_op or (node.op == CAST and any(k == "dtype" and v is not None for k, v in node.kwargs))
        if given or not same:
            graph.add_edge(_SOURCE, (here, "in"))
            continue
        for operand in [r for r in same if flow.graph.spec(r).shape] or same:
            before = _vertex(graph, flow, operand)
            if before != here:
                graph.add_edge((before, "out"), (here, "in"))
            if operand not in seen:
                seen.add(operand)
                queue.append(operand)


def _vertex(graph: Any, flow: Flow, ref: Ref) -> str | Place:
    node = flow.graph[ref.id]
    key: str | Place = node.place if node.is_op else node.name or node.id
    graph.add_edge((key, "in"), (key, "out"), capacity=1)
    return key


def _vertices(graph: Any) -> list[str | Place]:
    return [node[0] for node in graph if len(node) == 2 and node[1] == "in"]
