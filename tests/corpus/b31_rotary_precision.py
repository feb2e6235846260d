"""A rotary table follows a setting that was left out, so attention weights are float32 and values bfloat16.

Reported as EleutherAI/gpt-neox#1305.
"""

from __future__ import annotations

import torch
from torch import nn

from tests.corpus.case import RAISES, Case, Made


class Rotary(nn.Module):
    """Cosines and sines in the precision that the settings name."""

    def __init__(self, precision: torch.dtype) -> None:
        super().__init__()
        self.precision = precision

    def forward(self, count: int) -> tuple[torch.Tensor, torch.Tensor]:
        """For so many positions."""
        angles = torch.arange(count).float()[:, None] * torch.logspace(0, -2, 8)  # here
        return angles.cos().to(self.precision), angles.sin().to(self.precision)


class Attention(nn.Module):
    """Attention as two batched products."""

    def __init__(self, mended: bool) -> None:
        super().__init__()
        self.rotary = Rotary(torch.bfloat16 if mended else torch.float32)
        self.qkv = nn.Linear(8, 24).bfloat16()

    def turned(self, x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
        """The rotation."""
        left, right = x.chunk(2, -1)
        return x * cos + torch.cat((-right, left), -1) * sin

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """What the values give."""
        query, key, value = self.qkv(x).chunk(3, -1)
        cos, sin = self.rotary(x.shape[1])
        query, key = self.turned(query, cos, sin), self.turned(key, cos, sin)
        attention_probs = torch.bmm(query, key.transpose(1, 2)).softmax(-1)
        return torch.bmm(attention_probs, value)


def build(mended: bool) -> Made:
    """In bfloat16, without the setting unless mended."""
    return Attention(mended), {"x": torch.randn(2, 4, 8).bfloat16()}


CASE = Case(
    report="EleutherAI/gpt-neox#1305",
    kind=RAISES,
    build=build,
    cause="constant here",
    fix="the setting names bfloat16",
)
