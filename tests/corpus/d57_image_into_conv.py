"""A float32 image goes into a bfloat16 convolution with a bias (vllm-project/vllm#19219)."""

from __future__ import annotations

import torch
from torch import nn

from tests.corpus.case import RAISES, Case, Made


class Tower(nn.Module):
    """A patch embedding."""

    def __init__(self) -> None:
        super().__init__()
        self.patch = nn.Conv2d(3, 4, 4, stride=4)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """The patches."""
        return self.patch(image).flatten(2).mT  # type: ignore[no-any-return]


def build(mended: bool) -> Made:
    """The tower in bfloat16."""
    image = torch.ones(1, 3, 8, 8, dtype=torch.bfloat16 if mended else torch.float32)
    return Tower().bfloat16(), {"image": image}


CASE = Case(
    report="vllm-project/vllm#19219",
    kind=RAISES,
    build=build,
    cause="input image",
    fix="the image in the dtype of the convolution",
)
