"""Blame passes through a cast whose dtype the code read from another tensor, and stops at one that it wrote out."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from analyzer.capture import Loaded
from analyzer.ir.plan import Plan
from analyzer.propagate import propagate
from analyzer.running.forward import capture


class _Casting(nn.Module):
    """A float32 table decides the dtype of another tensor."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.ones(4, 4))
        self.weight = nn.Parameter(torch.ones(4, 4, dtype=torch.bfloat16))
        self.how = how

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        wide = {
            "written out": lambda: x.to(torch.float32),
            "read": lambda: x.to(self.table.dtype),
            "type_as": lambda: x.type_as(self.table),
            "to": lambda: x.to(self.table),
        }[self.how]()
        return wide @ self.weight


@pytest.mark.parametrize("how", ["written out", "read", "type_as", "to"])
def test_the_tensor_whose_dtype_was_read_is_to_blame(how: str) -> None:
    blamed = ("cast", "to") if how == "written out" else ("parameter", "table")
    inputs = {"x": torch.ones(4, 4, dtype=torch.bfloat16)}
    graph = capture(Loaded(_Casting(how), "casting", "", inputs), Plan(device="cpu")).graph
    flow = propagate(graph, Plan(device="cpu"))
    (refused,) = flow.refusals
    (odd,) = [ref for ref in graph[refused].operands() if flow.dtype(ref) == "float32"]
    assert [(origin.kind, origin.name) for origin in flow.origins(odd)] == [blamed]
