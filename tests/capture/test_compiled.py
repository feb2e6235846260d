"""Compiled code runs as the Python that it was made from, and everything is put back afterwards."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from analyzer.capture.emulation.compiled import compiling, uncompiled
from analyzer.ir.plan import Plan
from analyzer.running.forward import capture, from_callable

COUNTED: list[int] = []


def _backend(graph: Any, _: Any) -> Any:
    COUNTED.append(len(graph.graph.nodes))
    return graph.forward


class Inside(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(8, 8)

    def forward(self, x: torch.Tensor) -> Any:
        return torch.compile(self.layer, backend=_backend)(x)


def test_a_module_that_was_compiled_shows_its_operations_and_is_compiled_again_later() -> None:
    COUNTED.clear()
    compiled = torch.compile(nn.Linear(8, 8), backend=_backend)
    captured = capture(from_callable(compiled, (torch.ones(3, 8),), {}), Plan(device="cpu"))
    assert [node.op for node in captured.graph.ops()] == ["aten.t.default", "aten.addmm.default"]
    assert not COUNTED
    compiled(torch.ones(3, 8))
    assert COUNTED


def test_what_is_compiled_while_it_runs_is_not_compiled() -> None:
    COUNTED.clear()
    captured = capture(from_callable(Inside(), (torch.ones(3, 8, dtype=torch.float64),), {}), Plan(device="cpu"))
    assert [bool(node.refused) for node in captured.graph.ops()] == [False, True]
    assert not COUNTED


def test_compile_is_the_real_one_again_afterwards_and_while_torch_is_asked() -> None:
    before = torch.compile
    with uncompiled():
        assert torch.compile(nn.ReLU) is nn.ReLU  # type: ignore[comparison-overlap]
        assert torch.compile(mode="default")(nn.ReLU) is nn.ReLU
        with compiling():
            assert torch.compile is before
        assert torch.compile is not before
    assert torch.compile is before
