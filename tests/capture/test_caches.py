"""A model may keep a tensor of a capture in a cache that outlives it."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import torch

from analyzer.ir.graph import ModelGraph
from analyzer.ir.plan import Plan
from analyzer.running.forward import capture, from_callable


def _graph(function: Any, x: torch.Tensor) -> ModelGraph:
    return capture(from_callable(function, (x,), None), Plan(device="cpu")).graph


def _picker() -> Any:
    @lru_cache
    def positions(count: int) -> torch.Tensor:
        return torch.arange(count).flip(0) % 2

    def pick(x: torch.Tensor) -> torch.Tensor:
        return x[positions(len(x))] * 2

    return pick


def test_a_real_run_after_a_trace_uses_the_known_value() -> None:
    pick, x = _picker(), torch.tensor([1.0, 2.0, 3.0])
    _graph(pick, x)
    assert pick(x).tolist() == [2.0, 4.0, 2.0]


def test_a_second_trace_takes_it_as_a_constant() -> None:
    pick, x = _picker(), torch.ones(3, dtype=torch.bfloat16)
    _graph(lambda y: pick(y).sin().cos(), x)  # another graph, so that its names mean something else
    graph = _graph(pick, x)
    assert [n.op for n in graph] == ["input", "constant", "aten.index.Tensor", "aten.mul.Tensor"]
    assert [graph.spec(ref).dtype for ref in graph.outputs] == ["bfloat16"]


def test_an_unknown_one_is_a_constant_of_its_dtype() -> None:
    kept: list[torch.Tensor] = []

    def add(x: torch.Tensor) -> torch.Tensor:
        kept[:] = kept or [x.float()]
        return x + kept[0]

    x = torch.ones(3, dtype=torch.bfloat16)
    _graph(add, x)
    graph = _graph(add, x)
    assert [(n.op, n.dtype) for n in graph] == [
        ("input", "bfloat16"), ("constant", "float32"), ("aten.add.Tensor", "float32"),
    ]  # fmt: skip
