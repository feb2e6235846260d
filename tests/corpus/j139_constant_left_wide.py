"""A conversion to half leaves a constant in float32, which meets half in an addition.

Reported as microsoft/onnxruntime#11245.
"""

from __future__ import annotations

import torch
from torch import nn

from tests.corpus.case import RAISES, Case, Made


class Converted(nn.Module):
    """Two products with a constant added between them."""

    def __init__(self, mended: bool) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(8, 8).half(), nn.Linear(8, 8).half()
        self.register_buffer("constant", torch.randn(8).half() if mended else torch.randn(8))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Both products."""
        return self.second(torch.add(self.first(x), self.constant))  # type: ignore[no-any-return,arg-type]


def build(mended: bool) -> Made:
    """In half, but for the constant."""
    return Converted(mended), {"x": torch.randn(2, 8).half()}


CASE = Case(
    report="microsoft/onnxruntime#11245",
    kind=RAISES,
    build=build,
    cause="buffer constant",
    fix="the constant is converted too",
)
