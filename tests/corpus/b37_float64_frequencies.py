"""The cast of a float64 table is not assigned, so queries become float64 (vllm-project/vllm-omni#496)."""

from __future__ import annotations

import torch
from torch import nn

from tests.corpus.case import SILENT, Case, Made


class Rotary(nn.Module):
    """Queries turned by a table in double precision."""

    def __init__(self, mended: bool) -> None:
        super().__init__()
        self.mended, self.q = mended, nn.Linear(8, 8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Turn the queries."""
        q = self.q(x)
        cos = torch.arange(8, dtype=torch.float64).cos()  # here
        if self.mended:
            cos = cos.to(q.dtype)
        else:
            cos.to(q.dtype)
        return q * cos  # type: ignore[no-any-return]


def build(mended: bool) -> Made:
    """In bfloat16."""
    return Rotary(mended).bfloat16(), {"x": torch.ones(1, 4, 8, dtype=torch.bfloat16)}


CASE = Case(
    report="vllm-project/vllm-omni#496",
    kind=SILENT,
    build=build,
    code="DT202",
    severity="warning",
    cause="call here",
    fix="the cast is assigned",
)
