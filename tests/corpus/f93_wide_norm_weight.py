"""Preparation for k-bit training makes norm weights float32, and weight * half hidden is float32 from there.

Reported as huggingface/transformers#25598.
"""

from __future__ import annotations

import torch
from torch import nn

from tests.corpus.case import SILENT, Case, Made


class Norm(nn.Module):
    """A root-mean-square norm as Llama has it."""

    def __init__(self, mended: bool) -> None:
        super().__init__()
        self.mended, self.weight = mended, nn.Parameter(torch.ones(8))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Normalise in float32, scale in the weight's dtype."""
        wide = x.float()
        normed = (wide * wide.pow(2).mean(-1, keepdim=True).add(1e-6).rsqrt()).to(x.dtype)
        out = self.weight * normed
        return out.to(x.dtype) if self.mended else out


class Scores(nn.Module):
    """Attention scores without a projection in between."""

    def __init__(self, mended: bool) -> None:
        super().__init__()
        self.norm = Norm(mended)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Normalise and compare."""
        hidden = self.norm(x)
        return hidden @ hidden.mT  # type: ignore[no-any-return]


def build(mended: bool) -> Made:
    """The hidden states in float16, the norm's weight in float32."""
    return Scores(mended), {"x": torch.ones(2, 8, dtype=torch.float16)}


CASE = Case(
    report="huggingface/transformers#25598",
    kind=SILENT,
    build=build,
    cause="parameter norm.weight",
    fix="hidden states are cast back",
    code="DT201",
    severity="warning",
)
