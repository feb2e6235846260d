"""A sine position embedding is built in float32 inside forward and added to half features.

Reported as huggingface/transformers#40300.
"""

from __future__ import annotations

import torch
from torch import nn

from tests.corpus.case import RAISES, Case, Made


class Encoder(nn.Module):
    """Positions and a projection."""

    def __init__(self, mended: bool) -> None:
        super().__init__()
        self.mended, self.proj = mended, nn.Linear(8, 8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Add the positions."""
        steps = torch.arange(x.shape[1], dtype=torch.float32)[:, None] / 10000 ** (torch.arange(4) / 4)  # here
        position = torch.cat([steps.sin(), steps.cos()], dim=-1)
        position = position.to(x.dtype) if self.mended else position
        return self.proj(x + position)  # type: ignore[no-any-return]


def build(mended: bool) -> Made:
    """In bfloat16."""
    return Encoder(mended).bfloat16(), {"x": torch.ones(1, 4, 8, dtype=torch.bfloat16)}


CASE = Case(
    report="huggingface/transformers#40300",
    kind=RAISES,
    build=build,
    cause="constant here",
    fix="the embedding is cast to the features' dtype",
)
