"""A state-space layer keeps its convolution state in bfloat16 whatever the model's dtype, so decoding fails in float16.

Reported as sgl-project/sglang#19785.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from tests.corpus.case import RAISES, Case, Made


class Mixer(nn.Module):
    """A causal convolution: the first call sees the whole sequence, the next ones the state and one step."""

    def __init__(self, mended: bool) -> None:
        super().__init__()
        self.mended, self.conv = mended, nn.Conv1d(8, 8, 4, groups=8)
        self.state: torch.Tensor | None = None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Convolve, and keep the last steps."""
        window = F.pad(x, (3, 0)) if self.state is None else self.state
        result = self.conv(window)
        self.state = window[..., -4:].to(x.dtype if self.mended else torch.bfloat16)  # here
        return result  # type: ignore[no-any-return]


def build(mended: bool) -> Made:
    """In float16."""
    return Mixer(mended).half(), {"x": torch.ones(1, 8, 6, dtype=torch.float16)}


CASE = Case(
    report="sgl-project/sglang#19785",
    kind=RAISES,
    build=build,
    steps="forward,forward",
    cause="cast here",
    fix="the state in the model's dtype",
)
