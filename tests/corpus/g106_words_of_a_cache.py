"""A cache is allocated in float16, and keys are written into it as words of bfloat16: the bits are read as others.

Reported as vllm-project/vllm#54338.
"""

from __future__ import annotations

import torch
from torch import nn

from tests.corpus.case import SILENT, Case, Made


class Attention(nn.Module):
    """Keys by way of a cache."""

    def __init__(self, mended: bool) -> None:
        super().__init__()
        self.mended, self.keys = mended, nn.Linear(4, 4, dtype=torch.bfloat16)
        self.register_buffer("cache", torch.zeros(8, 4, dtype=torch.float16))

    def forward(self, x: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
        """What was written, as it is read."""
        keys = self.keys(x)
        if self.mended:
            self.cache[positions] = keys.to(self.cache.dtype)
        else:
            self.cache.view(keys.dtype)[positions] = keys  # here
        return self.cache.to(x.dtype)


def build(mended: bool) -> Made:
    """Four keys of eight."""
    return Attention(mended), {"x": torch.ones(4, 4).bfloat16(), "positions": torch.arange(4)}


CASE = Case(
    report="vllm-project/vllm#54338",
    kind=SILENT,
    build=build,
    code="DT206",
    severity="warning",
    cause="call here",
    fix="the keys are cast to the dtype of the cache",
    off=0.5,
)
