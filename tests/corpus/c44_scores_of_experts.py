"""Router scores in float32 multiply 16-bit experts, so that the residual stream, and every later product, is float32.

The products follow their input, `w.to(x.dtype)`, as quantised ones do. Reported as jjang-ai/vmlx-swift#379.
"""

from __future__ import annotations

import torch
from torch import nn

from tests.corpus.case import SILENT, Case, Made


class Packed(nn.Module):
    """A layer of int8 weights that computes in the dtype of what it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("weight", torch.ones(8, 8, dtype=torch.int8))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The product."""
        return x @ self.weight.to(x.dtype) * 0.01


class Layer(nn.Module):
    """Keys for a cache, and a mixture of two experts."""

    def __init__(self, mended: bool) -> None:
        super().__init__()
        self.mended, self.keys, self.gate = mended, Packed(), nn.Linear(8, 2, bias=False)
        self.experts = nn.ModuleList([Packed(), Packed()])

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The stream, and the keys."""
        scores = (x.float() @ self.gate.weight.float().t()).sigmoid()
        mixed = torch.stack([expert(x) for expert in self.experts], -1)
        scores = scores.to(x.dtype) if self.mended else scores
        return x + (mixed * scores[..., None, :]).sum(-1), self.keys(x)  # here


class Model(nn.Module):
    """Three layers."""

    def __init__(self, mended: bool) -> None:
        super().__init__()
        self.layers = nn.ModuleList(Layer(mended) for _ in range(3))

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        """The stream, and the keys of every layer."""
        cache = []
        for layer in self.layers:
            x, keys = layer(x)
            cache.append(keys)
        return [x, *cache]


def build(mended: bool) -> Made:
    """In bfloat16."""
    return Model(mended).to(torch.bfloat16), {"x": torch.ones(1, 4, 8).to(torch.bfloat16)}


CASE = Case(
    report="jjang-ai/vmlx-swift#379",
    kind=SILENT,
    build=build,
    code="DT201",
    severity="warning",
    cause="call here",
    fix="the scores are cast to the dtype of the experts",
)
