"""A grid of coordinates is made in float32 and samples half features (huggingface/transformers#32672)."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from tests.corpus.case import RAISES, Case, Made


class Sampler(nn.Module):
    """A deformable attention's sampling."""

    def __init__(self, mended: bool) -> None:
        super().__init__()
        self.mended, self.proj = mended, nn.Conv2d(3, 4, 1)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Sample at the points of a regular grid."""
        line = torch.linspace(-1, 1, 4, dtype=image.dtype if self.mended else torch.float32)  # here
        y, x = torch.meshgrid(line, line, indexing="ij")
        grid = torch.stack([x, y], dim=-1)[None]
        return F.grid_sample(self.proj(image), grid, align_corners=False)


def build(mended: bool) -> Made:
    """In bfloat16."""
    return Sampler(mended).bfloat16(), {"image": torch.ones(1, 3, 4, 4, dtype=torch.bfloat16)}


CASE = Case(
    report="huggingface/transformers#32672",
    kind=RAISES,
    build=build,
    cause="constant here",
    fix="the grid in the features' dtype",
)
