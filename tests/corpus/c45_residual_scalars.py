"""Learned scalars kept as float32 arrays make the residual stream float32 after the first block.

Reported as trevin-creator/autoresearch-mlx#3.
"""

from __future__ import annotations

import torch
from torch import nn

from tests.corpus.case import SILENT, Case, Made


class Block(nn.Module):
    """A residual block with a learned scale."""

    def __init__(self, mended: bool) -> None:
        super().__init__()
        self.mended, self.linear = mended, nn.Linear(8, 8, dtype=torch.bfloat16)
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Add the block's part."""
        scale = self.scale.to(x.dtype) if self.mended else self.scale
        x = x * scale
        return x @ (x.mT @ x) + self.linear(x.to(torch.bfloat16))  # type: ignore[no-any-return]


def build(mended: bool) -> Made:
    """Two blocks; the linears in bfloat16."""
    return nn.Sequential(Block(mended), Block(mended)), {"input": torch.ones(2, 8, dtype=torch.bfloat16)}


CASE = Case(
    report="trevin-creator/autoresearch-mlx#3",
    kind=SILENT,
    build=build,
    cause="parameter 0.scale",
    fix="the scalars are cast at their use",
    code="DT201",
    severity="warning",
)
