"""Vision weights tuned in float16 meet a bfloat16 input (OpenGVLab/VideoChat-Flash#55)."""

from __future__ import annotations

import torch
from torch import nn

from tests.corpus.case import RAISES, Case, Made


class Tower(nn.Module):
    """A patch embedding and a projector."""

    def __init__(self) -> None:
        super().__init__()
        self.patch, self.proj = nn.Conv2d(3, 4, 4, stride=4), nn.Linear(4, 8)

    def forward(self, pixel_values: torch.Tensor) -> torch.Tensor:
        """Patches, projected."""
        return self.proj(self.patch(pixel_values).flatten(2).mT)  # type: ignore[no-any-return]


def build(mended: bool) -> Made:
    """The whole model in bfloat16 when mended, as the reporter did."""
    module = Tower().half()
    return module.bfloat16() if mended else module, {"pixel_values": torch.ones(1, 3, 8, 8, dtype=torch.bfloat16)}


CASE = Case(
    report="OpenGVLab/VideoChat-Flash#55",
    kind=RAISES,
    build=build,
    cause="input pixel_values",
    fix="the model is cast to the input's dtype",
)
