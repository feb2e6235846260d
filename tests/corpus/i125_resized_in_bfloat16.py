"""A resize has no kernel for bfloat16 (pytorch/pytorch#86679).

There it was any mode, today it is that with antialiasing.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from tests.corpus.case import RAISES, Case, Made


class Head(nn.Module):
    """Features, made smaller with antialiasing."""

    def __init__(self, mended: bool) -> None:
        super().__init__()
        self.mended, self.conv, self.out = mended, nn.Conv2d(3, 4, 1).bfloat16(), nn.Conv2d(4, 2, 1).bfloat16()

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """A map of half the size."""
        features = self.conv(image)
        if self.mended:
            wide = F.interpolate(features.float(), scale_factor=0.5, mode="bilinear", antialias=True)
            return self.out(wide.to(features.dtype))  # type: ignore[no-any-return]
        features = F.interpolate(features, scale_factor=0.5, mode="bilinear", antialias=True)  # here
        return self.out(features)  # type: ignore[no-any-return]


def build(mended: bool) -> Made:
    """In bfloat16."""
    return Head(mended), {"image": torch.randn(1, 3, 8, 8).bfloat16()}


CASE = Case(
    report="pytorch/pytorch#86679",
    kind=RAISES,
    build=build,
    cause="call here",
    fix="the resize in float32, cast back",
    alone=False,
)
