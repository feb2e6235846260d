"""A rotary cache is computed from positions that were cast to half first, so its sines are wrong.

Reported as huggingface/transformers#25681.
"""

from __future__ import annotations

import torch
from torch import nn

from tests.corpus.case import SILENT, Case, Made


class Table(nn.Module):
    """The cosine and sine of every position."""

    def __init__(self, mended: bool) -> None:
        super().__init__()
        self.mended = mended

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The table in the dtype of x."""
        rate = 10000.0 ** (-torch.arange(0, 8, 2) / 8)
        steps = torch.arange(x.shape[1]).to(torch.float32 if self.mended else x.dtype)  # here
        angles = steps[:, None] * rate
        return angles.cos().to(x.dtype), angles.sin().to(x.dtype)


def build(mended: bool) -> Made:
    """600 positions in bfloat16."""
    return Table(mended), {"x": torch.ones(1, 600, 8, dtype=torch.bfloat16)}


CASE = Case(
    report="huggingface/transformers#25681",
    kind=SILENT,
    build=build,
    cause="constant here",
    fix="angles in float32, the table is cast",
    off=0.5,
    code="DT203",
    severity="warning",
)
