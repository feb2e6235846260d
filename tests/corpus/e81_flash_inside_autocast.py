"""Inside autocast queries and keys leave a norm in float32, values are bfloat16, and flash attention takes one dtype.

Reported as huggingface/diffusers#14104.
"""

from __future__ import annotations

import torch
from torch import nn

from analyzer.ir.plan import Plan
from tests.corpus.case import RAISES, Case, Made
from tests.corpus.stand_in_kernels import flash


class Attention(nn.Module):
    """Attention with a norm of queries and keys that computes in float32."""

    def __init__(self, mended: bool) -> None:
        super().__init__()
        self.mended, self.qkv, self.scale = mended, nn.Linear(8, 24), nn.Parameter(torch.ones(8))

    def normed(self, x: torch.Tensor) -> torch.Tensor:
        """Divided by its length."""
        wide = x.float()
        return wide * wide.square().mean(-1, keepdim=True).rsqrt() * self.scale

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """What is attended to."""
        q, k, v = self.qkv(x).chunk(3, -1)
        q, k = self.normed(q), self.normed(k)
        if self.mended:
            q, k = q.to(v.dtype), k.to(v.dtype)
        return flash(q, k, v)


def build(mended: bool) -> Made:
    """In float32, as training under autocast has it."""
    return Attention(mended), {"x": torch.randn(1, 4, 8)}


CASE = Case(
    report="huggingface/diffusers#14104",
    kind=RAISES,
    build=build,
    cause="parameter scale",
    fix="queries and keys follow the values",
    castable=False,
    plan=Plan(device="cpu", autocast="cpu:bfloat16", scope="run"),
)
