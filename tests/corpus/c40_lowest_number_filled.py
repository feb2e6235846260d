"""Scores in half are filled with the lowest float32, which masked_fill refuses (huggingface/transformers#35332)."""

from __future__ import annotations

import torch
from torch import nn

from tests.corpus.case import RAISES, Case, Made


class Scores(nn.Module):
    """Masked attention weights."""

    def __init__(self, mended: bool) -> None:
        super().__init__()
        self.mended, self.query, self.key = mended, nn.Linear(8, 8).half(), nn.Linear(8, 8).half()

    def forward(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Softmax of what is not masked."""
        scores = self.query(x) @ self.key(x).mT
        lowest = torch.finfo(scores.dtype).min if self.mended else torch.finfo(torch.float32).min
        scores = scores.masked_fill(mask, lowest)  # here
        return scores.softmax(-1)


def build(mended: bool) -> Made:
    """In half, the last token masked."""
    mask = torch.tensor([False, False, False, True])
    return Scores(mended), {"x": torch.randn(1, 4, 8).half(), "mask": mask}


CASE = Case(
    report="huggingface/transformers#35332",
    kind=RAISES,
    build=build,
    cause="call here",
    fix="the lowest number of the scores' dtype",
)
