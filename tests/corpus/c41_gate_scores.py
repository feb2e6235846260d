"""A gate computes its scores in float32 and hands them to bfloat16 experts as they are.

Reported as deepseek-ai/DeepSeek-MoE#35.
"""

from __future__ import annotations

import torch
from torch import nn

from tests.corpus.case import RAISES, Case, Made


class Experts(nn.Module):
    """A gate and one expert."""

    def __init__(self, mended: bool) -> None:
        super().__init__()
        self.mended, self.gate, self.expert = mended, nn.Linear(8, 1), nn.Linear(8, 8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Weigh the input, then run the expert."""
        scores = self.gate(x).type(torch.float32).sigmoid()  # here
        scores = scores.type_as(x) if self.mended else scores
        return self.expert(x * scores)  # type: ignore[no-any-return]


def build(mended: bool) -> Made:
    """In bfloat16."""
    return Experts(mended).bfloat16(), {"x": torch.ones(2, 8, dtype=torch.bfloat16)}


CASE = Case(
    report="deepseek-ai/DeepSeek-MoE#35",
    kind=RAISES,
    build=build,
    cause="cast here",
    fix="the scores are cast back",
)
