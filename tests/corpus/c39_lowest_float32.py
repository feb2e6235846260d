"""A mask is filled with the lowest float32, which is minus infinity in float16, so a row masked whole is NaN.

Reported as huggingface/transformers#35332.
"""

from __future__ import annotations

import torch
from torch import nn

from tests.corpus.case import SILENT, Case, Made


class Attention(nn.Module):
    """Scores with a mask added."""

    def __init__(self, mended: bool) -> None:
        super().__init__()
        self.mended = mended

    def forward(self, scores: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """The weights."""
        lowest = torch.finfo(scores.dtype if self.mended else torch.float32).min
        bias = (1 - mask.to(scores.dtype)) * lowest  # here
        return (scores + bias).softmax(-1)


def build(mended: bool) -> Made:
    """One row without a key to attend to."""
    return Attention(mended), {"scores": torch.ones(2, 4).half(), "mask": torch.zeros(2, 4, dtype=torch.int64)}


CASE = Case(
    report="huggingface/transformers#35332",
    kind=SILENT,
    build=build,
    code="DT204",
    severity="warning",
    cause="call here",
    fix="the lowest number of the scores' dtype",
    off=1.0,
)
