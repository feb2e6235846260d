"""Complex rotary embeddings view bfloat16 pairs as complex numbers, which no kernel does (pytorch/pytorch#95100)."""

from __future__ import annotations

import torch
from torch import nn

from tests.corpus.case import RAISES, Case, Made


class Rotary(nn.Module):
    """Queries turned as complex numbers."""

    def __init__(self, mended: bool) -> None:
        super().__init__()
        self.mended, self.q = mended, nn.Linear(8, 8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Turn by one radian."""
        q = self.q(x).unflatten(-1, (4, 2))
        pairs = torch.view_as_complex(q.float() if self.mended else q)
        return torch.view_as_real(pairs * 1j).flatten(-2).type_as(x)


def build(mended: bool) -> Made:
    """In bfloat16."""
    return Rotary(mended).bfloat16(), {"x": torch.ones(1, 4, 8, dtype=torch.bfloat16)}


CASE = Case(
    report="pytorch/pytorch#95100",
    kind=RAISES,
    build=build,
    cause="parameter q.bias",
    fix="the pairs in float32",
)
