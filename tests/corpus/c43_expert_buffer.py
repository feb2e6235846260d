"""Under autocast an expert gives half values, which are written into a float32 buffer (hiyouga/LlamaFactory#3886)."""

from __future__ import annotations

import torch
from torch import nn

from analyzer.ir.plan import Plan
from tests.corpus.case import RAISES, Case, Made


class Experts(nn.Module):
    """One expert for some of the tokens."""

    def __init__(self, mended: bool) -> None:
        super().__init__()
        self.mended, self.expert = mended, nn.Linear(8, 8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Run the expert on two of the tokens."""
        y, index = torch.zeros_like(x), torch.tensor([0, 2])
        out = self.expert(x[index])  # here
        y[index] = out.to(dtype=y.dtype) if self.mended else out
        return y


def build(mended: bool) -> Made:
    """In float32, as training under autocast has it."""
    return Experts(mended), {"x": torch.ones(4, 8)}


CASE = Case(
    report="hiyouga/LlamaFactory#3886",
    kind=RAISES,
    build=build,
    cause="autocast here",
    fix="the values are cast to the buffer's dtype",
    plan=Plan(device="cpu", autocast="cpu:bfloat16", scope="run"),
)
