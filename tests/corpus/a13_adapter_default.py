"""Adapter modules are made in the default float32 and put into a half model (adapter-hub/adapters#766)."""

from __future__ import annotations

import torch
from torch import nn

from tests.corpus.case import RAISES, Case, Made


class Adapted(nn.Module):
    """A layer and a bottleneck beside it."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(8, 8, dtype=torch.float16)
        self.down, self.up = nn.Linear(8, 2, bias=False), nn.Linear(2, 8, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The layer, and what the adapter adds."""
        hidden = self.layer(x)
        return hidden + self.up(self.down(hidden))  # type: ignore[no-any-return]


def build(mended: bool) -> Made:
    """The adapter in the base's dtype when mended."""
    module = Adapted()
    return module.half() if mended else module, {"x": torch.ones(2, 8, dtype=torch.float16)}


CASE = Case(
    report="adapter-hub/adapters#766",
    kind=RAISES,
    build=build,
    cause="parameter down.weight",
    fix="the adapter in the dtype of its base",
    alone=False,
)
