"""A state-space layer holds float32 parameters in a bfloat16 unit that FSDP is to flatten.

Reported as axolotl-ai-cloud/axolotl#1889.
"""

from __future__ import annotations

import torch
from torch import nn

from analyzer.ir.plan import Plan, Training
from tests.corpus.case import RAISES, Case, Made
from tests.corpus.h111_flat_unit import WRAP, flatten


class Mixer(nn.Module):
    """A decay for each channel, kept in float32, between two layers."""

    def __init__(self, wide: bool) -> None:
        super().__init__()
        self.inner, self.outer = nn.Linear(8, 8).bfloat16(), nn.Linear(8, 8).bfloat16()
        self.A_log = nn.Parameter(torch.rand(8).to(torch.float32 if wide else torch.bfloat16))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Decayed and mixed."""
        hidden = self.inner(x)
        return self.outer(hidden * torch.exp(-self.A_log.float()).to(hidden.dtype))  # type: ignore[no-any-return]


def build(mended: bool) -> Made:
    """In bfloat16, but for the decay unless mended."""
    return Mixer(not mended), {"x": torch.randn(2, 8).bfloat16()}


CASE = Case(
    report="axolotl-ai-cloud/axolotl#1889",
    kind=RAISES,
    build=build,
    code="DT501",
    cause="parameter A_log",
    fix="the unit in one dtype",
    plan=Plan(device="cpu", train=True, training=Training(fsdp=WRAP)),
    really=flatten,
)
