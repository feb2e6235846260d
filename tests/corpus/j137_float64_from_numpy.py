"""Numbers from NumPy are float64, and the model is float32 (pytorch/pytorch#15436)."""

from __future__ import annotations

import torch
from torch import nn

from tests.corpus.case import RAISES, Case, Made


class Regression(nn.Module):
    """A layer, and the squared error of what it says."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 1)

    def forward(self, features: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """The loss."""
        return (self.linear(features) - labels).square().mean()  # type: ignore[no-any-return]


def build(mended: bool) -> Made:
    """In float32, the data too when mended."""
    data = {"features": torch.randn(3, 4).double(), "labels": torch.randn(3, 1).double()}
    return Regression(), {name: one.float() for name, one in data.items()} if mended else data


CASE = Case(
    report="pytorch/pytorch#15436",
    kind=RAISES,
    build=build,
    cause="input features",
    fix="the data is cast to float32",
)
