"""A timestep below 1000 is cast to bfloat16 before its sinusoid: 998.39 becomes 1000.

Reported as modelscope/DiffSynth-Studio#1025.
"""

from __future__ import annotations

import torch
from torch import nn

from tests.corpus.case import SILENT, Case, Made


class Time(nn.Module):
    """Sinusoids of a timestep, and that timestep."""

    def __init__(self, mended: bool) -> None:
        super().__init__()
        self.mended = mended

    def forward(self, timestep: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Embed the timestep."""
        if not self.mended:
            timestep = timestep.to(torch.bfloat16)  # here
        angles = timestep.float()[:, None] * torch.arange(4).neg().exp()
        return torch.cat([angles.sin(), angles.cos()], dim=-1).bfloat16(), timestep.float()


def build(mended: bool) -> Made:
    """One timestep, as a scheduler gives it."""
    return Time(mended), {"timestep": torch.tensor([998.39])}


CASE = Case(
    report="modelscope/DiffSynth-Studio#1025",
    kind=SILENT,
    build=build,
    cause="input timestep",
    fix="float32 up to the sine, the result is cast",
    off=1.6,
    code="DT203",
    severity="warning",
)
