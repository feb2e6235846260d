"""Blame: the nearest origins first, promotions before all, and any length of way."""

from __future__ import annotations

from analyzer.blame import NEAREST, Blame
from analyzer.graph import ModelGraph, Ref
from analyzer.text import parse_graph


def _blame(text: str) -> tuple[ModelGraph, Blame]:
    graph = parse_graph(text)
    return graph, Blame(graph, {node.id: tuple(s.dtype for s in node.outputs) for node in graph})


def test_a_promotion_on_the_way_is_to_blame_before_what_is_nearer() -> None:
    _, blame = _blame("""
        x = input : bf16[4,4]
        near = param : f32[4,4]
        table = param : f32[4,4]
        wide = add.Tensor(x, table) : f32[4,4]
        more = relu(wide) : f32[4,4]
        out = mul.Tensor(more, near) : f32[4,4]
    """)
    assert [origin.name for origin in blame.origins(Ref("out"))] == ["table", "near"]
    assert [origin.name for origin in blame.origins(Ref("more"))] == ["table"]


def test_each_origin_is_named_once_by_its_shortest_way_and_few_are_named() -> None:
    rows = "\n".join(f"w{i} = param : f32[4,4]" for i in range(9))
    lines = "\n".join(f"y{i + 1} = add.Tensor(y{i}, w{i}) : f32[4,4]" for i in range(9))
    _, blame = _blame(f"{rows}\ny0 = relu(w0) : f32[4,4]\n{lines}")
    names = [origin.name for origin in blame.origins(Ref("y9"))]
    assert names == ["w8", "w7", "w6", "w5"]
    assert len(names) == NEAREST


def test_a_dtype_that_follows_another_tensor_has_its_origin() -> None:
    graph, blame = _blame("""
        x = input : bf16[4]
        model = param : f32[4]
        out = to(x, f32) : f32[4]
    """)
    graph.follows[Ref("out")] = Ref("model")
    assert [origin.name for origin in blame.origins(Ref("out"))] == ["model"]


def test_tensors_that_follow_each_other_end() -> None:
    graph, blame = _blame("a = relu(b) : f32[4]\n".join(["b = param : f32[4]\n", ""]))
    graph.follows.update({Ref("a"): Ref("b"), Ref("b"): Ref("a")})
    assert blame.origins(Ref("a")) == ()


def test_a_way_of_any_length_is_one_pass() -> None:
    lines = ["y0 = param : f32[4]", *(f"y{i} = relu(y{i - 1}) : f32[4]" for i in range(1, 20_001))]
    _, blame = _blame("\n".join(lines))
    assert [origin.name for origin in blame.origins(Ref("y20000"))] == ["y0"]
    assert all(blame.origins(Ref(f"y{i}")) for i in range(20_001))
