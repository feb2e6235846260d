"""A key cache is made in a dtype of its own, and bfloat16 keys are written into it by index.

Reported as meta-pytorch/torchtune#1349.
"""

from __future__ import annotations

import torch
from torch import nn

from tests.corpus.case import RAISES, Case, Made


class Session(nn.Module):
    """A decoder that fills a cache, call by call; `seen` counts the positions."""

    def __init__(self, mended: bool) -> None:
        super().__init__()
        self.key = nn.Linear(8, 8, dtype=torch.bfloat16)
        cache = torch.zeros(1, 4, 8, dtype=torch.bfloat16 if mended else torch.float32)
        self.register_buffer("cache", cache, persistent=False)
        self.seen = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Write the keys, give all that are there."""
        position = torch.arange(self.seen, self.seen + x.shape[1])
        self.seen += x.shape[1]
        self.cache[:, position] = self.key(x)
        return self.cache.clone()  # type: ignore[no-any-return]


def build(mended: bool) -> Made:
    """In bfloat16, but for the cache."""
    return Session(mended), {"x": torch.ones(1, 2, 8, dtype=torch.bfloat16)}


CASE = Case(
    report="meta-pytorch/torchtune#1349",
    kind=RAISES,
    build=build,
    steps="forward,forward",
    cause="buffer cache",
    fix="the cache in the model's dtype",
)
