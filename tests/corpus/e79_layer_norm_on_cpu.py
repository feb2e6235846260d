"""CUDA's autocast runs layer_norm in float32, the CPU's leaves a float32 input with a bfloat16 weight.

Reported as intel/intel-extension-for-pytorch#731.
"""

from __future__ import annotations

import torch
from torch import nn

from analyzer.ir.plan import Plan
from tests.corpus.case import RAISES, Case, Made


class Layer(nn.Module):
    """A norm in bfloat16."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.proj = nn.LayerNorm(8).bfloat16(), nn.Linear(8, 8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Normalise and project."""
        return self.proj(self.norm(x))  # type: ignore[no-any-return]


def build(mended: bool) -> Made:
    """The norm in the dtype of its input when mended."""
    module = Layer()
    return module.float() if mended else module, {"x": torch.ones(2, 8)}


CASE = Case(
    report="intel/intel-extension-for-pytorch#731",
    kind=RAISES,
    build=build,
    cause="parameter norm.weight",
    fix="the norm's parameters in float32",
    plan=Plan(device="cpu", autocast="cpu:bfloat16", scope="run"),
)
