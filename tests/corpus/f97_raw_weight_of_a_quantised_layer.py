"""A low-bit conversion replaced a weight that attention reads as a raw tensor (intel/ipex-llm#10470)."""

from __future__ import annotations

import torch
from torch import nn

from tests.corpus.case import RAISES, Case, Made


class LowBit(nn.Module):
    """A layer in eight bits: codes about 128, and a scale."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.register_buffer("weight", torch.randint(0, 255, (width, width), dtype=torch.uint8))
        self.scale = nn.Parameter(torch.full((width, 1), 0.01).half())

    def dequantised(self) -> torch.Tensor:
        """The numbers that the codes mean."""
        return (self.weight.to(self.scale.dtype) - 128) * self.scale

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The product."""
        return x @ self.dequantised().t()


class Resampler(nn.Module):
    """Reads the weight of its projection, as `nn.MultiheadAttention` does."""

    def __init__(self, mended: bool) -> None:
        super().__init__()
        self.mended, self.out_proj = mended, LowBit(8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Project."""
        weight = self.out_proj.dequantised() if self.mended else self.out_proj.weight
        return x @ weight.t()  # type: ignore[no-any-return,operator]


def build(mended: bool) -> Made:
    """In half."""
    return Resampler(mended), {"x": torch.randn(2, 8).half()}


CASE = Case(
    report="intel/ipex-llm#10470",
    kind=RAISES,
    build=build,
    cause="buffer out_proj.weight",
    castable=False,
    fix="the layer is left out of the conversion",
)
