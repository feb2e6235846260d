"""The number that keeps a norm from being zero is zero itself in float16, so a vector of zeros becomes NaN.

Reported as pytorch/pytorch#32137.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from tests.corpus.case import SILENT, Case, Made


class Pooled(nn.Module):
    """An embedding of unit length."""

    def __init__(self, mended: bool) -> None:
        super().__init__()
        self.mended, self.proj = mended, nn.Linear(4, 4, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The embedding."""
        eps = torch.finfo(x.dtype).tiny if self.mended else 1e-12
        return F.normalize(self.proj(x), dim=-1, eps=eps)  # here


def build(mended: bool) -> Made:
    """A text that is all padding, in float16."""
    return Pooled(mended).half(), {"x": torch.zeros(2, 4).half()}


CASE = Case(
    report="pytorch/pytorch#32137",
    kind=SILENT,
    build=build,
    code="DT204",
    severity="warning",
    cause="call here",
    fix="the least normal number of the dtype",
    off=1.0,
)
