"""Checkpointing recomputes in another dtype than the forward pass had, and refuses (pytorch/pytorch#141896)."""

from __future__ import annotations

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from analyzer.ir.plan import Plan
from tests.corpus.case import STOPS, Case, Made


class Block(nn.Module):
    """A block under autocast the first time, as one whose autocast state is not kept."""

    def __init__(self, mended: bool) -> None:
        super().__init__()
        self.mended, self.linear, self.calls = mended, nn.Linear(4, 4), 0

    def block(self, x: torch.Tensor) -> torch.Tensor:
        """The part that is recomputed."""
        self.calls += 1
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=self.mended or self.calls == 1):
            return self.linear(x).relu()  # type: ignore[no-any-return]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """A loss."""
        return checkpoint(self.block, x, use_reentrant=False).float().sum()  # type: ignore[no-any-return]


def build(mended: bool) -> Made:
    """In float32."""
    return Block(mended), {"x": torch.ones(2, 4)}


CASE = Case(
    report="pytorch/pytorch#141896",
    kind=STOPS,
    build=build,
    fix="the same autocast in both passes",
    plan=Plan(device="cpu", train=True),
)
