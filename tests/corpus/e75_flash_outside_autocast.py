"""A model in float32 is called outside the autocast region that wraps it, and its attention takes halves alone.

Reported as SWivid/F5-TTS#1201.
"""

from __future__ import annotations

import torch
from torch import nn

from analyzer.ir.plan import Plan
from tests.corpus.case import RAISES, Case, Made
from tests.corpus.stand_in_kernels import flash


class Sampler(nn.Module):
    """Attention between two layers."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv, self.out = nn.Linear(8, 24), nn.Linear(8, 8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """What is sampled."""
        q, k, v = self.qkv(x).chunk(3, -1)
        attended = flash(q, k, v)
        return self.out(attended)  # type: ignore[no-any-return]


def build(mended: bool) -> Made:
    """In float32; autocast is the plan's."""
    return Sampler(), {"x": torch.randn(1, 4, 8)}


CASE = Case(
    report="SWivid/F5-TTS#1201",
    kind=RAISES,
    build=build,
    cause="parameter qkv.bias",
    fix="what samples runs under autocast too",
    mended_plan=Plan(device="cpu", autocast="cpu:bfloat16", scope="run"),
    errors=2,
    alone=False,
)
