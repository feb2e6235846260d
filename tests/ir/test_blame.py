"""Blame: the nearest origins first, promotions before all, and any length of way."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from analyzer import Plan, trace
from analyzer.ir.blame import NEAREST, Blame
from analyzer.ir.graph import ModelGraph, Ref
from analyzer.ir.text import parse_graph


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


class _Halves(nn.Module):
    """Adds two halves of different kinds, and multiplies what comes of it."""

    def __init__(self) -> None:
        super().__init__()
        self.left = nn.Parameter(torch.ones(4, dtype=torch.bfloat16))
        self.right = nn.Parameter(torch.ones(4, dtype=torch.float16))
        self.proj = nn.Linear(4, 4, dtype=torch.bfloat16)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.proj(x * (self.left + self.right))  # type: ignore[no-any-return]


def test_halves_that_meet_in_float32_are_both_to_blame() -> None:
    module, x = _Halves(), torch.ones(2, 4, dtype=torch.bfloat16)
    with pytest.raises(RuntimeError) as raised:
        module(x)
    (found,) = [f for f in trace(module, (x,), plan=Plan(device="cpu")).findings if f.severity == "error"]
    assert found.message == str(raised.value)
    wide = [operand for operand in found.operands if operand.dtype == "float32"]
    assert {origin.name for operand in wide for origin in operand.origins} == {"left", "right"}


class _Eight(nn.Module):
    """Adds to a weight in eight bits, and computes on."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(8, 8).to(torch.float8_e4m3fn), requires_grad=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        summed = self.weight + x
        return torch.softmax(summed @ x, -1) @ x


def test_a_refused_promotion_of_eight_bits_has_no_followers() -> None:
    module, x = _Eight(), torch.ones(8, 8, dtype=torch.bfloat16)
    with pytest.raises(RuntimeError) as raised:
        module(x)
    report = trace(module, (x,), plan=Plan(device="cpu"))
    assert [f.message for f in report.findings if f.severity == "error"] == [str(raised.value)]
    assert report.outputs == ("bfloat16",)
    module.weight.data = module.weight.data.to(torch.bfloat16)
    assert module(x).dtype == torch.bfloat16
