"""Logits over the whole vocabulary are cast to float32 and kept, which doubles their memory.

Reported as huggingface/transformers#30860.
"""

from __future__ import annotations

import torch
from torch import nn

from tests.corpus.case import SILENT, Case, Made


class Head(nn.Module):
    """A language model's head."""

    def __init__(self, mended: bool) -> None:
        super().__init__()
        self.mended, self.lm_head = mended, nn.Linear(2, 50_000, bias=False)

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """The logits."""
        logits = self.lm_head(hidden)
        if not self.mended:
            logits = logits.float()  # here
        return logits  # type: ignore[no-any-return]


def build(mended: bool) -> Made:
    """1,536 tokens in bfloat16."""
    return Head(mended).bfloat16(), {"hidden": torch.ones(1, 1536, 2, dtype=torch.bfloat16)}


CASE = Case(
    report="huggingface/transformers#30860",
    kind=SILENT,
    build=build,
    code="DT302",
    severity="warning",
    cause="call here",
    fix="the logits stay as they are",
)
