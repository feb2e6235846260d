"""An attention bias in float64 goes with a bfloat16 query (mahmoodlab/TITAN#11)."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from tests.corpus.case import RAISES, Case, Made


class Attention(nn.Module):
    """Attention with a bias for distance."""

    def __init__(self, mended: bool) -> None:
        super().__init__()
        self.mended, self.qkv = mended, nn.Linear(8, 24)

    def forward(self, x: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        """Attend."""
        q, k, v = self.qkv(x)[:, None].chunk(3, dim=-1)
        bias = bias.to(q.dtype) if self.mended else bias
        return F.scaled_dot_product_attention(q, k, v, attn_mask=bias)


def build(mended: bool) -> Made:
    """In bfloat16; the bias as numpy makes it."""
    bias = torch.zeros(4, 4, dtype=torch.float64)
    return Attention(mended).bfloat16(), {"x": torch.ones(1, 4, 8, dtype=torch.bfloat16), "bias": bias}


CASE = Case(
    report="mahmoodlab/TITAN#11",
    kind=RAISES,
    build=build,
    cause="input bias",
    fix="the bias follows the query",
)
