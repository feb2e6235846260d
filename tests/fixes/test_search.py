"""The law of the minimum cut: taking it away leaves no way, and nothing smaller does; compared with networkx's own."""

from __future__ import annotations

import networkx as nx
from hypothesis import given, settings
from hypothesis import strategies as st

from analyzer.fixes.search import fewest
from analyzer.ir.findings import Finding
from analyzer.ir.flow import Flow
from analyzer.ir.graph import ModelGraph, Node, Place, Ref, Spec
from analyzer.ir.plan import Plan

F32, BF16 = Spec("float32", (4, 4)), Spec("bfloat16", (4, 4))


@st.composite
def _flows(draw: st.DrawFn) -> tuple[Flow, set[str]]:
    """A flow of float32 tensors into refused calls that want bfloat16, and the operations whose line takes a cast."""
    graph = ModelGraph()
    count = draw(st.integers(1, 4))
    for number in range(count):
        graph.add(Node(f"w{number}", "parameter", outputs=(F32,), name=f"m.w{number}"))
    graph.add(Node("narrow", "parameter", outputs=(BF16,), name="m.narrow"))
    made = [f"w{number}" for number in range(count)]
    for number in range(draw(st.integers(0, 8))):
        reads = draw(st.lists(st.sampled_from(made), min_size=1, max_size=3, unique=True))
        name = f"op{number}"
        args = tuple(Ref(one) for one in (*reads, *(["narrow"] if draw(st.booleans()) else [])))
        graph.add(Node(name, "aten.sum.default", args, outputs=(F32,), place=Place("m.py", number + 1)))
        made.append(name)
    for number in range(draw(st.integers(1, 3))):
        args = (Ref(draw(st.sampled_from(made))), Ref("narrow"))
        place = Place("m.py", 100 + number)
        node = Node(
            f"bad{number}", "aten.mm.default", args, outputs=(BF16,), place=place, refused="no", repair="bfloat16"
        )
        graph.add(node)
    ops = [node.id for node in graph if node.is_op]
    writable = set(draw(st.lists(st.sampled_from(ops), unique=True)))
    return Flow.as_captured(graph, Plan(device="cpu")), writable


def _ways(flow: Flow) -> nx.DiGraph:
    """The float32 edges, from `source` to `sink`."""
    ways = nx.DiGraph()
    ways.add_nodes_from(("source", "sink"))
    for node in flow.graph:
        if node.dtype == "float32" and not node.is_op:
            ways.add_edge("source", node.id)
        for ref in node.operands():
            if flow.dtype(ref) == "float32":
                ways.add_edge(ref.id, node.id)
        if node.refused:
            ways.add_edge(node.id, "sink")
    return ways


@settings(max_examples=150, deadline=None)
@given(_flows())
def test_the_cut_disconnects_and_is_as_small_as_the_cut_of_networkx(made: tuple[Flow, set[str]]) -> None:
    flow, writable = made
    finding = Finding(
        "DT101", "mixed-product", "error", "no", "", "", "", "", 0, nodes=tuple(n.id for n in flow.graph if n.refused)
    )
    lines = {(node_id, "bfloat16"): flow.graph[node_id].place for node_id in writable}
    cut = fewest(flow, [finding], lines)
    of_place = {flow.graph[node_id].place: node_id for node_id in writable}
    of_name = {node.name: node.id for node in flow.graph.stored()}
    taken = [of_place[what] if isinstance(what, Place) else of_name[what] for what, _ in cut]
    ways = _ways(flow)
    assert {dtype for _, dtype in cut} == {"bfloat16"}
    assert not nx.has_path(ways.subgraph(set(ways) - set(taken)), "source", "sink")
    # what cannot be cast is joined to itself many times, so that networkx does not take it
    open_ = {node.id for node in flow.graph if node.is_op} - writable
    many = nx.DiGraph()
    copies = {node: [(node, i) for i in range(8)] if node in open_ else [node] for node in ways}
    many.add_edges_from((a, b) for start, end in ways.edges for a in copies[start] for b in copies[end])
    assert len(taken) == len(nx.minimum_node_cut(many, "source", "sink"))
    assert cut == fewest(flow, [finding], dict(reversed(lines.items())))
    for one in taken:  # none is taken in vain
        assert nx.has_path(ways.subgraph(set(ways) - set(taken) | {one}), "source", "sink")
