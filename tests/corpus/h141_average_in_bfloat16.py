"""A moving average of the weights is kept in bfloat16, so each update rounds away and it never moves.

Reported as d8ahazard/sd_dreambooth_extension#1417.
"""

from __future__ import annotations

import torch
from torch import nn

from tests.corpus.case import SILENT, Case, Made

DECAY = 0.9995


class Averaged(nn.Module):
    """A layer whose average follows it; it shows how far the average is behind."""

    def __init__(self, wide: bool) -> None:
        super().__init__()
        self.layer = nn.Linear(8, 8, bias=False).bfloat16()
        self.register_buffer("shadow", torch.ones(8, 8, dtype=torch.float32 if wide else torch.bfloat16))
        nn.init.constant_(self.layer.weight, 0.5)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Two hundred steps, and what is left of the distance."""
        with torch.no_grad():
            for _ in range(200):
                self.shadow.sub_((1 - DECAY) * (self.shadow - self.layer.weight))
        return self.layer(x), self.shadow.float()


def build(mended: bool) -> Made:
    """In bfloat16; the average is float32 when mended."""
    return Averaged(mended), {"x": torch.ones(2, 8, dtype=torch.bfloat16)}


CASE = Case(
    report="d8ahazard/sd_dreambooth_extension#1417",
    kind=SILENT,
    build=build,
    code="DT506",
    severity="warning",
    cause="buffer shadow",
    fix="the average is kept in float32",
    off=0.04,
)
