"""Angles are forced to bfloat16 to match the input, and their cosine has a large error.

Reported as Dao-AILab/flash-attention#823.
"""

from __future__ import annotations

import torch
from torch import nn

from tests.corpus.case import SILENT, Case, Made


class Rotary(nn.Module):
    """Queries turned by their positions."""

    def __init__(self, mended: bool) -> None:
        super().__init__()
        self.mended = mended
        self.register_buffer("rate", 10000.0 ** (-torch.arange(0, 8, 2) / 8), persistent=False)

    def forward(self, q: torch.Tensor) -> torch.Tensor:
        """Scale by the cosine."""
        angles = torch.arange(q.shape[1], dtype=torch.float32)[:, None] * self.rate
        if not self.mended:
            angles = angles.to(q.dtype)  # here
        return q * angles.cos().to(q.dtype)


def build(mended: bool) -> Made:
    """600 positions in bfloat16."""
    return Rotary(mended), {"q": torch.ones(1, 600, 4, dtype=torch.bfloat16)}


CASE = Case(
    report="Dao-AILab/flash-attention#823",
    kind=SILENT,
    build=build,
    cause="buffer rate",
    fix="the cosine in float32, its result is cast",
    off=0.24,
    code="DT203",
    severity="warning",
)
