"""The graph's own edges are those that networkx would have, whenever either is asked."""

from __future__ import annotations

from analyzer.ir.graph import Edge, ModelGraph, Node, Ref, Spec
from analyzer.ir.text import parse_graph

TEXT = """\
x = input : f32[2]
y = max.dim(x, 0) : (f32[2], i64[2])
z = add.Tensor(y#1, x, alpha=y) : f32[2]
w = mul.Tensor(x, x) : f32[2]
"""


def _of_networkx(graph: ModelGraph, name: str) -> list[Edge]:
    return [Edge(Ref(name, index), to, at) for _, to, at, index in graph.nx.out_edges(name, keys=True, data="index")]


def test_readers_are_those_of_networkx_in_reading_order() -> None:
    graph = parse_graph(TEXT)
    assert [(edge.reader, edge.position) for edge in graph.readers("x")] == [("y", 0), ("z", 1), ("w", 0), ("w", 1)]
    assert all(list(graph.readers(node.id)) == _of_networkx(graph, node.id) for node in graph)
    assert list(graph.nx) == ["x", "y", "z", "w"]


def test_both_know_a_node_that_is_added_after_they_were_asked() -> None:
    graph = parse_graph(TEXT)
    assert not list(graph.readers("w")) and not _of_networkx(graph, "w")
    graph.add(Node("v", "aten.relu.default", (Ref("w"),), outputs=(Spec("float32", (2,)),)))
    assert list(graph.readers("w")) == _of_networkx(graph, "w") == [Edge(Ref("w"), "v", 0)]
