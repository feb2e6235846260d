"""A model is loaded without a dtype, in float32, and a library checks in Python that attention is given halves.

Reported as OpenBMB/MiniCPM#92.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from tests.corpus.case import RAISES, Case, Made


def flash(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    """Attention as a library does it that asks for halves before it calls its kernel."""
    if not all(one.dtype in (torch.float16, torch.bfloat16) for one in (q, k, v)):
        raise RuntimeError("FlashAttention only support fp16 and bf16 data type")  # here
    return F.scaled_dot_product_attention(q[:, None], k[:, None], v[:, None])[:, 0]


class Decoder(nn.Module):
    """Attention between two layers."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv, self.out = nn.Linear(8, 24), nn.Linear(8, 8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Hidden states."""
        q, k, v = self.qkv(x).chunk(3, -1)
        attended = flash(q, k, v)
        return self.out(attended)  # type: ignore[no-any-return]


def build(mended: bool) -> Made:
    """In bfloat16 when mended."""
    x = torch.randn(1, 4, 8)
    return (Decoder().bfloat16(), {"x": x.bfloat16()}) if mended else (Decoder(), {"x": x})


CASE = Case(
    report="OpenBMB/MiniCPM#92",
    kind=RAISES,
    build=build,
    cause="call here",
    fix="the model is loaded in bfloat16",
)
