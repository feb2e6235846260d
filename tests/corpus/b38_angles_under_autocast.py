"""The product of positions and frequencies is one that autocast narrows, so angles are computed in bfloat16.

Reported as huggingface/transformers#29285.
"""

from __future__ import annotations

import torch
from torch import nn

from analyzer.ir.plan import Plan
from tests.corpus.case import SILENT, Case, Made


class Rotary(nn.Module):
    """The cosines of all positions."""

    def __init__(self, mended: bool) -> None:
        super().__init__()
        self.mended = mended
        self.register_buffer("rate", 10000.0 ** (-torch.arange(0, 8, 2) / 8), persistent=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The table."""
        steps = torch.arange(x.shape[0]).float()
        with torch.autocast("cpu", enabled=not self.mended, dtype=torch.bfloat16):
            angles = steps[:, None] @ self.rate[None]  # here
        return angles.float().cos()


def build(mended: bool) -> Made:
    """1,000 positions."""
    return Rotary(mended), {"x": torch.ones(1000, 1)}


CASE = Case(
    report="huggingface/transformers#29285",
    kind=SILENT,
    build=build,
    code="DT203",
    severity="warning",
    cause="call here",
    fix="autocast is off around the angles",
    plan=Plan(device="cpu", autocast="cpu:bfloat16", scope="run"),
    off=0.5,
)
