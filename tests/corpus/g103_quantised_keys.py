"""A quantised projection computes in float32 and gives float32, which a bfloat16 cache does not take.

Reported as pytorch/torchchat#596. The first call has no cache yet; the second one writes into it.
"""

from __future__ import annotations

import torch
from torch import nn

from tests.corpus.case import RAISES, Case, Made


class Quantised(nn.Module):
    """Weights in eight bits with a scale for each row; activations are widened to float32."""

    def __init__(self, width: int, follows: bool) -> None:
        super().__init__()
        self.follows = follows
        self.register_buffer("weight", torch.ones(width, width, dtype=torch.int8))
        self.register_buffer("scale", torch.full((width, 1), 0.1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """A product in float32."""
        y = x.float() @ (self.weight * self.scale).t()  # here
        return y.to(x.dtype) if self.follows else y


class Attention(nn.Module):
    """Keeps its keys in a cache that is made in the model's dtype before the second call."""

    def __init__(self, mended: bool) -> None:
        super().__init__()
        self.key, self.cache = Quantised(8, mended), None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The keys so far."""
        key = self.key(x)
        if self.cache is None:
            self.cache = x.new_zeros(1, 16, 8)
            return key  # type: ignore[no-any-return]
        self.cache[:, torch.tensor([0, 1, 2, 3])] = key
        return self.cache


def build(mended: bool) -> Made:
    """In bfloat16, but for the scales."""
    return Attention(mended), {"x": torch.ones(1, 4, 8, dtype=torch.bfloat16)}


CASE = Case(
    report="pytorch/torchchat#596",
    kind=RAISES,
    build=build,
    steps="forward,forward",
    cause="cast here",
    fix="the projection gives the dtype that it was given",
)
