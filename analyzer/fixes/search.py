"""Search without running: where an odd dtype comes from, the fewest places that cut it off, and what-if readings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from analyzer import oracle
from analyzer.fixes.writes import written
from analyzer.ir import walk
from analyzer.ir.blame import handed_on
from analyzer.ir.blame.roles import valued
from analyzer.ir.dtypes import is_float, keeping, kind, real_part, width
from analyzer.ir.findings import Finding, Origin
from analyzer.ir.fixes.proposals import Proposal
from analyzer.ir.flow import Flow
from analyzer.ir.graph import CALLED, Node, Place, Ref, Spec, causes
from analyzer.ir.literal_types import DTYPE_KINDS
from analyzer.ir.plan import names
from analyzer.propagate import propagate

_COMPUTED: Final = ("float32", "bfloat16", "float16")
"""Dtypes that models compute in."""
_SOURCE, _SINK = ("source",), ("sink",)
_HELD: Final = ("parameter", "buffer")
_CASTABLE: Final = ("parameter", "buffer", "input")


def to_cast(flow: Flow, node_id: str, wanted: str = "") -> tuple[Ref, ...]:
    """The odd operands of a refused call, where a cast loses none of them; () if one of them may not be cast.

    Integers become floats, but no floats integers, and no complex numbers floats, unless they are an index or a mask.
    Stored numbers of eight bits are codes of a quantised weight: what they mean is another tensor's to say.
    """
    odd, node = flow.odd(node_id, wanted), flow.graph[node_id]
    rank, values = DTYPE_KINDS.index(kind(wanted or node.repair)), valued(node)
    loses = any(ref in values and (DTYPE_KINDS.index(kind(flow.dtype(ref))) > rank or _codes(flow, ref)) for ref in odd)
    return () if loses else odd


def _codes(flow: Flow, ref: Ref) -> bool:
    return flow.dtype(ref) in ("int8", "uint8") and any(one.kind in _HELD for one in flow.origins(ref))


def wanted_by(flow: Flow, node: Node) -> tuple[str, str]:
    """The dtype that a refused call's operands are to have; and, if it writes into one of them, the dtype of that.

    Both are "" where no dtype helps.
    """
    into = next((flow.dtype(ref) for ref in written(node)), "")
    return node.repair, into if into and node.repair else node.repair


def taken(flow: Flow, node: Node) -> tuple[str, ...]:
    """The dtypes in which a refused call would run if all its floats had them, those that it was given some of first.

    Where it was given one dtype alone, its kernel has none for that. Of code that only looked at a tensor, such as a
    check in a library, nothing is known: it may take any other.
    """
    given = list(dict.fromkeys(flow.dtype(ref) for ref in valued(node) if is_float(flow.dtype(ref))))
    others = [dtype for dtype in _COMPUTED if dtype not in given]
    if not given:
        return ()
    if node.op.startswith(CALLED):
        return tuple(given if len(given) > 1 else others)
    own = [dtype for dtype in given if len(given) > 1 and width(dtype) > 1 and _takes(flow, node, dtype)]
    return tuple(own or [dtype for dtype in others if _takes(flow, node, dtype)])


def _takes(flow: Flow, node: Node, dtype: str) -> bool:
    def recast(ref: Ref) -> Spec:
        has = flow.dtype(ref)
        return Spec(dtype if is_float(has) else has, flow.graph.spec(ref).shape)

    args, kwargs = walk.changed((node.args, node.kwargs), Ref, recast)
    return isinstance(oracle.ask(node.op, args, kwargs, flow.plan.device), oracle.Dtypes)


def odd_origins(flow: Flow, node_id: str, wanted: str = "") -> Iterator[Origin]:
    """The stored tensors that those operands have their dtype from, as far as they can be cast themselves."""
    wanted = wanted or flow.graph[node_id].repair
    for ref in to_cast(flow, node_id, wanted):
        origins = (one for one in flow.origins(ref) if _can_be_cast(one.kind, one.dtype, wanted))
        yield from (origin for origin in origins if origin.dtype != keeping(origin.dtype, wanted))


def _can_be_cast(stored: str, dtype: str, wanted: str) -> bool:
    """Whether a stored tensor survives a cast: a parameter is of floats, and a complex one stays complex."""
    given = keeping(dtype, wanted)
    return stored in _CASTABLE and bool(given) and (stored != "parameter" or is_float(real_part(given)))


def fewest(
    flow: Flow, findings: Sequence[Finding], writable: Mapping[tuple[str, str], Place], *, into: bool = False
) -> tuple[tuple[str | Place, str], ...]:
    """The fewest casts that keep every odd dtype from its refused call: what is cast, and to which dtype.

    What is cast is a stored tensor, by its name, or a source line, of those in `writable`: (node, dtype) -> the line
    where a cast to that dtype can be written. A minimum vertex cut; of two as small, the one with fewer lines. Nodes
    whose casts are one line are one vertex, as a cast written there acts on all of them. () where nothing can be cut.
    With `into`, what a call writes into keeps its dtype, and what is written is cast; else the other way around.
    """
    import networkx as nx  # a tenth of a second, and most models have no error to cut off

    graph: Any = nx.DiGraph()
    graph.add_nodes_from((_SOURCE, _SINK))
    ways = _Ways(flow, writable, graph)
    for node_id in [n for f in findings if f.severity == "error" and not f.tensors for n in f.nodes]:
        ways.add(node_id, wanted_by(flow, flow.graph[node_id])[into])
    if not nx.has_path(graph, _SOURCE, _SINK):
        return ()
    many = 1 + len(graph)
    for _, _, facts in graph.edges(data=True):
        if "one" in facts:
            facts["capacity"] = many + facts["one"]
    try:
        behind = nx.minimum_cut(graph, _SOURCE, _SINK)[1][1]
    except nx.NetworkXUnbounded:
        return ()
    casts = _crossed(flow, graph, behind)
    return tuple(sorted(casts, key=lambda key: (isinstance(key[0], Place), str(key[0]), key[1])))


def _crossed(flow: Flow, graph: Any, behind: Any) -> Iterator[tuple[str | Place, str]]:
    """The casts at the vertices that a cut goes through."""
    dtypes = {node.name: flow.dtypes[node.id][0] for node in flow.graph.stored()}
    for vertex in graph:
        if len(vertex) == 3 and vertex[2] == "in" and vertex not in behind and (*vertex[:2], "out") in behind:
            what, wanted = vertex[:2]
            yield what, keeping(dtypes.get(what, ""), wanted) if isinstance(what, str) else wanted


def predicted(flow: Flow, proposal: Proposal) -> int | None:
    """How many calls would be refused under a proposal, by propagation alone; None where it cannot tell."""
    if proposal.edits or proposal.inputs or proposal.stages or not set(proposal.change) <= {"set", "to"}:
        return None
    changed = {
        node.id: dtype
        for node in flow.graph.stored()
        if node.op in ("parameter", "buffer")
        and is_float(real_part(node.dtype))
        and (dtype := _given(proposal, node.name))
    }
    what_if = propagate(flow.graph, flow.plan, changed)
    return len(causes(flow.graph[node_id] for node_id in what_if.refusals))


def _given(proposal: Proposal, name: str) -> str:
    dtype = str(proposal.change.get("to") or "")
    for pattern, one in proposal.cast.items():
        if names(pattern, name):
            dtype = one
    return dtype


@dataclass(frozen=True, slots=True)
class _Ways:
    """All ways by which odd dtypes reach refused calls. A vertex is two nodes; the edge in it is what a cut costs.

    An edge with `one` can be cut: it is 0 for a stored tensor, 1 for a line. One without has no limit.
    """

    flow: Flow
    writable: Mapping[tuple[str, str], Place]
    graph: Any
    seen: set[tuple[Ref, str]] = field(default_factory=set)

    def add(self, node_id: str, wanted: str) -> None:
        """The ways of the odd operands of one refused call, which are to have one dtype."""
        for ref in to_cast(self.flow, node_id, wanted):
            call = self._vertex(node_id, wanted)
            self.graph.add_edge((*call, "out"), _SINK)
            self._enter(ref, wanted, call)

    def _enter(self, start: Ref, wanted: str, reader: tuple[object, str]) -> None:
        flow, queue = self.flow, [(start, reader)]
        while queue:
            ref, after = queue.pop()
            here = self._vertex(ref.id, wanted)
            if here != after:
                self.graph.add_edge((*here, "out"), (*after, "in"))
            if (ref, wanted) in self.seen:
                continue
            self.seen.add((ref, wanted))
            before = [
                one
                for one in handed_on(flow.graph, ref, flow.dtype)
                if (has := flow.dtype(one)) != keeping(has, wanted)
            ]
            if not before:
                self.graph.add_edge(_SOURCE, (*here, "in"))
            queue += [(one, here) for one in before]

    def _vertex(self, node_id: str, wanted: str) -> tuple[object, str]:
        node = self.flow.graph[node_id]
        line = self.writable.get((node_id, wanted))
        stored = not node.is_op and _can_be_cast(node.op, self.flow.dtypes[node_id][0], wanted)
        key: object = line or (node.name if stored else ("node", node_id))
        facts = {"one": int(line is not None)} if line or stored else {}
        self.graph.add_edge((key, wanted, "in"), (key, wanted, "out"), **facts)
        return key, wanted
