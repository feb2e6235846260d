"""A mask is filled with the lowest number of the hidden states' dtype, which the mask's own dtype does not hold.

Weights in float16 under a bfloat16 autocast have masks in float16 and states in bfloat16. Reported as
huggingface/transformers#35398.
"""

from __future__ import annotations

import torch
from torch import nn

from analyzer.ir.plan import Plan
from tests.corpus.case import SILENT, Case, Made


class Layer(nn.Module):
    """Scores under a sliding mask."""

    def __init__(self, mended: bool) -> None:
        super().__init__()
        self.mended, self.proj = mended, nn.Linear(4, 4)

    def forward(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """The mask, as it is added."""
        scores = self.proj(x)
        lowest = torch.finfo((mask if self.mended else scores).dtype).min
        far = torch.ones_like(mask, dtype=torch.bool).tril(-2)
        return torch.where(far, lowest, mask)  # here


def build(mended: bool) -> Made:
    """In float16."""
    return Layer(mended).half(), {"x": torch.ones(4, 4).half(), "mask": torch.zeros(4, 4).half()}


CASE = Case(
    report="huggingface/transformers#35398",
    kind=SILENT,
    build=build,
    code="DT204",
    severity="warning",
    cause="call here",
    fix="the lowest number of the mask's dtype",
    plan=Plan(device="cpu", autocast="cpu:bfloat16", scope="run"),
    off=1.0,
)
