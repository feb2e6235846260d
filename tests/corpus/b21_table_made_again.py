"""A sinusoidal table is made again in float32 for a longer sequence, and the norm after it is in half.

Reported as huggingface/transformers#13665.
"""

from __future__ import annotations

import torch
from torch import nn

from tests.corpus.case import RAISES, Case, Made


class Positions(nn.Module):
    """A table for four positions; for more it is made anew."""

    def __init__(self, mended: bool) -> None:
        super().__init__()
        self.mended, self.table = mended, self.made(4)

    def made(self, count: int) -> torch.Tensor:
        """The sines of so many positions."""
        angles = torch.arange(count, dtype=torch.float32)[:, None] * torch.logspace(0, -2, 8)  # here
        return angles.sin()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The table as long as the sequence."""
        if x.shape[1] > len(self.table):
            self.table = self.made(x.shape[1])
        return self.table[: x.shape[1]].to(x.dtype) if self.mended else self.table[: x.shape[1]]


class Speech(nn.Module):
    """Features with positions, normed."""

    def __init__(self, mended: bool) -> None:
        super().__init__()
        self.positions, self.norm = Positions(mended), nn.LayerNorm(8).half()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Hidden states."""
        hidden = x + self.positions(x)
        return self.norm(hidden)  # type: ignore[no-any-return]


def build(mended: bool) -> Made:
    """In half, with more frames than the table has."""
    return Speech(mended), {"x": torch.randn(1, 6, 8).half()}


CASE = Case(
    report="huggingface/transformers#13665",
    kind=RAISES,
    build=build,
    cause="constant here",
    fix="the table keeps its dtype",
)
