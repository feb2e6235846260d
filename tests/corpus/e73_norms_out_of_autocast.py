"""Norms were cast to float32 for training under autocast, and generation runs outside it (huggingface/trl#1203)."""

from __future__ import annotations

import torch
from torch import nn

from analyzer.ir.plan import Plan
from tests.corpus.case import RAISES, Case, Made


class Layer(nn.Module):
    """A norm and a projection."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.proj = nn.Parameter(torch.ones(8)), nn.Linear(8, 8).bfloat16()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Normalise and project."""
        return self.proj(self.norm * x / (x * x).mean())  # type: ignore[no-any-return]


def build(mended: bool) -> Made:
    """The same model; only the scope of autocast differs."""
    return Layer(), {"x": torch.ones(2, 8, dtype=torch.bfloat16)}


CASE = Case(
    report="huggingface/trl#1203",
    kind=RAISES,
    build=build,
    cause="parameter norm",
    fix="the caller runs under autocast",
    mended_plan=Plan(device="cpu", autocast="cpu:bfloat16", scope="run"),
)
