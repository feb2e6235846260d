"""A float32 scale multiplies bfloat16 queries and keys, which then meet bfloat16 values.

Reported as lucidrains/rotary-embedding-torch#9.
"""

from __future__ import annotations

import torch
from torch import nn

from tests.corpus.case import RAISES, Case, Made


class Attention(nn.Module):
    """Attention with an extrapolating scale."""

    def __init__(self, mended: bool) -> None:
        super().__init__()
        self.mended, self.qkv = mended, nn.Linear(8, 24)
        self.scale = nn.Parameter(torch.linspace(0.5, 1, 8), requires_grad=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Attend."""
        q, k, v = self.qkv(x).chunk(3, dim=-1)
        scale = self.scale.to(x.dtype) if self.mended else self.scale
        weights = ((q * scale) @ (k / scale).mT).softmax(-1)
        return weights @ v  # type: ignore[no-any-return]


def build(mended: bool) -> Made:
    """The linear in bfloat16, the scale as it was made."""
    module = Attention(mended)
    module.qkv.bfloat16()
    return module, {"x": torch.ones(1, 4, 8, dtype=torch.bfloat16)}


CASE = Case(
    report="lucidrains/rotary-embedding-torch#9",
    kind=RAISES,
    build=build,
    cause="parameter scale",
    fix="the scale is cast at its use",
)
