"""Keys and values come from a float32 cache, the query is bfloat16 (nari-labs/dia#83)."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from tests.corpus.case import RAISES, Case, Made


class Session(nn.Module):
    """A prefill that caches, and a step that attends."""

    def __init__(self, mended: bool) -> None:
        super().__init__()
        self.mended, self.qkv = mended, nn.Linear(8, 24, dtype=torch.bfloat16)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Cache keys and values, then attend to them."""
        _, k, v = self.qkv(x).chunk(3, dim=-1)
        cache = (k.float(), v.float())  # here
        q = self.qkv(x[:, :1]).chunk(3, dim=-1)[0]
        k, v = (t.to(q.dtype) for t in cache) if self.mended else cache
        return F.scaled_dot_product_attention(q[:, None], k[:, None], v[:, None])


def build(mended: bool) -> Made:
    """In bfloat16, but for the cache."""
    return Session(mended), {"x": torch.ones(1, 4, 8, dtype=torch.bfloat16)}


CASE = Case(
    report="nari-labs/dia#83",
    kind=RAISES,
    build=build,
    cause="cast here",
    fix="keys and values follow the query",
)
