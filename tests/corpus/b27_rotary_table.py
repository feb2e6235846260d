"""A rotary table stored in float32 turns queries and keys into float32 (facebookresearch/xformers#325)."""

from __future__ import annotations

import torch
from torch import nn

from tests.corpus.case import SILENT, Case, Made


class Attention(nn.Module):
    """Queries and keys turned by a table."""

    def __init__(self, mended: bool) -> None:
        super().__init__()
        self.mended, self.q, self.k = mended, nn.Linear(8, 8), nn.Linear(8, 8)
        self.register_buffer("cos", torch.arange(32.0).view(4, 8).cos())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The scores."""
        cos = self.cos.to(x.dtype) if self.mended else self.cos
        return (self.q(x) * cos) @ (self.k(x) * cos).mT  # type: ignore[no-any-return]


def build(mended: bool) -> Made:
    """The linears in bfloat16, the table as it was made."""
    module = Attention(mended)
    for part in (module.q, module.k):
        part.bfloat16()
    return module, {"x": torch.ones(1, 4, 8, dtype=torch.bfloat16)}


CASE = Case(
    report="facebookresearch/xformers#325",
    kind=SILENT,
    build=build,
    cause="buffer cos",
    fix="the table is cast at its use",
    code="DT201",
    severity="warning",
)
