"""Calls that PyTorch refuses for how their operands lie in memory: the real words end the run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

import analyzer
from analyzer import Plan


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.query = nn.Linear(8, 8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        heads = self.query(x).view(2, 5, 2, 4).transpose(1, 2)
        return ((heads @ heads.transpose(-1, -2)).softmax(-1) @ heads).transpose(1, 2).view(2, 5, 8)


def _channels_last(x: torch.Tensor) -> torch.Tensor:
    return nn.functional.conv2d(x.contiguous(memory_format=torch.channels_last), torch.ones(4, 3, 3, 3)).view(2, -1)


REFUSED: dict[str, tuple[Callable[..., Any], tuple[torch.Tensor, ...]]] = {
    "heads together": (Attention(), (torch.randn(2, 5, 8),)),
    "a transposed matrix": (lambda x: x.t().view(-1), (torch.randn(3, 4),)),
    "as another": (lambda x, y: x.t().view_as(y), (torch.randn(3, 4), torch.randn(12))),
    "channels last": (_channels_last, (torch.randn(2, 3, 8, 8),)),
    "complex of columns": (lambda x: torch.view_as_complex(x.t()[:, :2]), (torch.randn(4, 4),)),
    "written to, expanded": (lambda x: x[:1].expand(3, 4).add_(1), (torch.randn(3, 4),)),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_layout_that_is_refused_ends_the_run_in_the_real_words(name: str) -> None:
    function, args = REFUSED[name]
    with pytest.raises(RuntimeError) as real, torch.no_grad():
        function(*args)
    try:
        report = analyzer.trace(function, args, plan=Plan(device="cpu"))
    except analyzer.errors.AnalyzerError as error:  # nothing ran before
        assert str(real.value) in str(error)
    else:
        assert str(real.value) in (report.coverage.incomplete or "") and not report.findings
