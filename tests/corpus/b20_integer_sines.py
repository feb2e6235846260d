"""A table of sines is cast to the dtype of its positions, which are integers, so that most of it is zero.

Reported as huggingface/transformers#47674.
"""

from __future__ import annotations

import torch
from torch import nn

from tests.corpus.case import SILENT, Case, Made


class Enhancer(nn.Module):
    """A projection of features with positions added."""

    def __init__(self, mended: bool) -> None:
        super().__init__()
        self.mended, self.proj = mended, nn.Linear(8, 8, bias=False)

    def table(self, positions: torch.Tensor) -> torch.Tensor:
        """The sine and cosine of every position, in its dtype."""
        angles = positions[:, None] * 20.0 ** (-torch.arange(0, 8, 2) / 8)
        return torch.cat([angles.sin(), angles.cos()], -1).to(positions.dtype)  # here

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The projection."""
        positions = torch.arange(x.shape[1])
        return self.proj(x + self.table(positions.to(x.dtype) if self.mended else positions))  # type: ignore[no-any-return]


def build(mended: bool) -> Made:
    """Sixteen positions in float32."""
    return Enhancer(mended), {"x": torch.ones(1, 16, 8)}


CASE = Case(
    report="huggingface/transformers#47674",
    kind=SILENT,
    build=build,
    code="DT205",
    severity="warning",
    cause="call here",
    fix="the positions in the dtype of the features",
    off=0.1,
)
