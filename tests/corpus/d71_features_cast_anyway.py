"""A detector casts its features to bfloat16 even where no autocast runs (facebookresearch/sam3#350)."""

from __future__ import annotations

import torch
from torch import nn

from tests.corpus.case import RAISES, Case, Made


class Detector(nn.Module):
    """A backbone and the tracker's convolution."""

    def __init__(self, mended: bool) -> None:
        super().__init__()
        self.mended, self.backbone, self.tracker = mended, nn.Conv2d(3, 4, 1), nn.Conv2d(4, 4, 1)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Features for the tracker."""
        features = self.backbone(image)
        dtype = self.tracker.weight.dtype if self.mended else torch.bfloat16
        features = features.to(dtype)  # here
        return self.tracker(features)  # type: ignore[no-any-return]


def build(mended: bool) -> Made:
    """All in float32."""
    return Detector(mended), {"image": torch.ones(1, 3, 4, 4)}


CASE = Case(
    report="facebookresearch/sam3#350",
    kind=RAISES,
    build=build,
    cause="cast here",
    fix="the features follow the tracker's weight",
)
