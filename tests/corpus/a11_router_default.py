"""A router is built without the dtype argument, in float32 in a bfloat16 model (NVIDIA/Megatron-LM#669)."""

from __future__ import annotations

import torch
from torch import nn

from tests.corpus.case import RAISES, Case, Made


class Switch(nn.Module):
    """A router and two experts."""

    def __init__(self, dtype: torch.dtype | None) -> None:
        super().__init__()
        self.router = nn.Linear(8, 2, bias=False, dtype=dtype)
        self.experts = nn.ModuleList(nn.Linear(8, 8, dtype=torch.bfloat16) for _ in range(2))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Weigh the experts."""
        weights = self.router(x).softmax(-1)
        return sum((e(x) * weights[..., i : i + 1] for i, e in enumerate(self.experts)), torch.zeros_like(x))


def build(mended: bool) -> Made:
    """A switch of two experts."""
    return Switch(torch.bfloat16 if mended else None), {"x": torch.ones(2, 8, dtype=torch.bfloat16)}


CASE = Case(
    report="NVIDIA/Megatron-LM#669",
    kind=RAISES,
    build=build,
    cause="parameter router.weight",
    fix="the router gets the dtype",
)
