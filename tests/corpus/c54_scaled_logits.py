"""Logits over the whole vocabulary are scaled and then cast to float32, for the results and for the loss.

Reported as unslothai/unsloth#3700.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from tests.corpus.case import SILENT, Case, Made


class Head(nn.Module):
    """An embedding and a head."""

    def __init__(self, mended: bool) -> None:
        super().__init__()
        self.mended, self.embed, self.head = mended, nn.Embedding(50_000, 2), nn.Linear(2, 50_000, bias=False)

    def forward(self, ids: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """The loss."""
        states = self.embed(ids)
        if self.mended:
            pieces = zip(states.split(64), labels.split(64), strict=True)
            parts = [F.cross_entropy(self.head(one) / 6, two) for one, two in pieces]
            return torch.stack(parts).mean()
        logits = (self.head(states) / 6).float()  # here
        return F.cross_entropy(logits, labels)


def build(mended: bool) -> Made:
    """A text of 1,536 tokens in bfloat16."""
    ids = torch.zeros(1536, dtype=torch.int64)
    return Head(mended).to(torch.bfloat16), {"ids": ids, "labels": ids.clone()}


CASE = Case(
    report="unslothai/unsloth#3700",
    kind=SILENT,
    build=build,
    code="DT302",
    severity="warning",
    cause="call here",
    fix="the loss is computed piece by piece",
)
