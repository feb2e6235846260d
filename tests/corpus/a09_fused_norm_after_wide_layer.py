"""After a layer kept in float32 the hidden states are float32, and the next fused norm has half weights.

Reported as zai-org/CogVideo#170.
"""

from __future__ import annotations

import torch
from torch import nn

from tests.corpus.case import RAISES, Case, Made
from tests.corpus.stand_in_kernels import fused_rms_norm


class Block(nn.Module):
    """A layer kept in float32, and a norm in half."""

    def __init__(self, mended: bool) -> None:
        super().__init__()
        self.mended = mended
        self.wi, self.wo = nn.Linear(8, 8).half(), nn.Linear(8, 8)
        self.weight = nn.Parameter(torch.ones(8).half())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The block's hidden states, normed."""
        x = x + self.wo(self.wi(x).to(self.wo.weight.dtype))
        return fused_rms_norm(x.to(self.weight.dtype) if self.mended else x, self.weight)


def build(mended: bool) -> Made:
    """In half, but for one layer."""
    return Block(mended), {"x": torch.randn(2, 8).half()}


CASE = Case(
    report="zai-org/CogVideo#170",
    kind=RAISES,
    build=build,
    cause="parameter wo.bias",
    fix="hidden states are cast back to half",
)
