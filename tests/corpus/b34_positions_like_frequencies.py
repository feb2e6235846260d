"""Positions take the dtype of the frequencies, which were cast with the model, and their product is computed in half.

Reported as EleutherAI/gpt-neox#1003.
"""

from __future__ import annotations

import torch
from torch import nn

from tests.corpus.case import SILENT, Case, Made


class Rotary(nn.Module):
    """The cosines of 3,000 positions."""

    def __init__(self, mended: bool) -> None:
        super().__init__()
        self.mended = mended
        self.register_buffer("rate", 10000.0 ** (-torch.arange(0, 8, 2) / 8), persistent=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The table in the dtype of x."""
        rate = 10000.0 ** (-torch.arange(0, 8, 2) / 8) if self.mended else self.rate
        steps = torch.arange(x.shape[0]).type_as(rate)  # here
        angles = torch.einsum("i,j->ij", steps, rate)
        return angles.cos().to(x.dtype)


def build(mended: bool) -> Made:
    """In float16."""
    return Rotary(mended).half(), {"x": torch.ones(3000, 1).half()}


CASE = Case(
    report="EleutherAI/gpt-neox#1003",
    kind=SILENT,
    build=build,
    code="DT203",
    severity="warning",
    cause="constant here",
    fix="positions and frequencies in float32",
    off=0.5,
)
