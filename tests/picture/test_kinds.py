"""The story of an operand of another kind is drawn as that of a float is, and no box holds two dtypes."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

import analyzer
from analyzer import Plan
from analyzer.picture import View, overview


class Ids(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(8, 8, dtype=torch.bfloat16))

    def forward(self, x: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
        return F.linear(ids.view(2, 3, 8), self.weight) + x


class Rotary(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("table", torch.polar(torch.ones(6, 4), torch.ones(6, 4)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        turned = torch.view_as_real(torch.view_as_complex(x.reshape(2, 6, 4, 2).float()) * self.table).flatten(2)
        return turned @ torch.ones(8, 8, dtype=torch.bfloat16)


def _view(module: nn.Module, *args: torch.Tensor) -> View:
    report = analyzer.trace(module, args, plan=Plan(device="cpu"))
    return overview(report.flow, report.findings)


def test_an_integer_input_is_drawn_down_to_where_it_is_refused() -> None:
    view = _view(Ids(), torch.randn(2, 3, 8), torch.ones(2, 24, dtype=torch.long))
    told = [box.label for box in view.boxes if box.stories == (1,)]
    assert told == ["args.1", "view", "linear: view", "linear: mm"]
    assert any(link.label == "i64 -> bf16" for link in view.links)


def test_operations_of_two_dtypes_that_do_not_read_each_other_have_two_boxes() -> None:
    view = _view(Ids(), torch.randn(2, 3, 8), torch.ones(2, 24, dtype=torch.long))
    assert next(box.label for box in view.boxes if box.kind == "glue") == "t"


def test_a_story_goes_through_complex_numbers() -> None:
    view = _view(Rotary(), torch.randn(2, 6, 8, dtype=torch.bfloat16))
    told = [box.label for box in view.boxes if 1 in box.stories]
    assert told == ["table", "mul.Tensor", "view_as_real", "flatten: view", "matmul: view", "matmul: mm"]
