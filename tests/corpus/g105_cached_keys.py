"""Keys and values come from a float32 cache, the query is bfloat16 (nari-labs/dia#83)."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from tests.corpus.case import RAISES, Case, Made


class Session(nn.Module):
    """The first call caches, the next one attends to what it cached."""

    def __init__(self, mended: bool) -> None:
        super().__init__()
        self.mended, self.qkv = mended, nn.Linear(8, 24, dtype=torch.bfloat16)
        self.cache: tuple[torch.Tensor, torch.Tensor] | None = None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Attend to the keys and values of the call before, if there was one."""
        q, k, v = self.qkv(x).chunk(3, dim=-1)
        cached, self.cache = self.cache, (k.float(), v.float())  # here
        if cached is not None:
            k, v = (t.to(q.dtype) for t in cached) if self.mended else cached
        return F.scaled_dot_product_attention(q[:, None], k[:, None], v[:, None])


def build(mended: bool) -> Made:
    """In bfloat16, but for the cache."""
    return Session(mended), {"x": torch.ones(1, 4, 8, dtype=torch.bfloat16)}


CASE = Case(
    report="nari-labs/dia#83",
    kind=RAISES,
    build=build,
    steps="forward,forward",
    cause="cast here",
    fix="keys and values follow the query",
)
