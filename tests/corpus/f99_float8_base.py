"""An adapter's update is added to a base weight in float8, which does not promote (Nerogar/OneTrainer#442)."""

from __future__ import annotations

import torch
from torch import nn

from tests.corpus.case import RAISES, Case, Made


class Dora(nn.Module):
    """A base weight in float8 and a low-rank update."""

    def __init__(self, mended: bool) -> None:
        super().__init__()
        self.mended = mended
        self.weight = nn.Parameter(torch.ones(8, 8).to(torch.float8_e4m3fn), requires_grad=False)
        self.down, self.up = nn.Parameter(torch.ones(2, 8).half()), nn.Parameter(torch.ones(8, 2).half())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The product with the updated weight."""
        base = self.weight.to(x.dtype) if self.mended else self.weight
        return x @ (base + self.up @ self.down).mT  # type: ignore[no-any-return]


def build(mended: bool) -> Made:
    """Activations in float16."""
    return Dora(mended), {"x": torch.ones(2, 8, dtype=torch.float16)}


CASE = Case(
    report="Nerogar/OneTrainer#442",
    kind=RAISES,
    build=build,
    cause="parameter weight",
    fix="the base weight is cast to the activations' dtype",
)
