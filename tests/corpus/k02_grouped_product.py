"""A grouped product is no operation of autocast, and CUDA's autocast gives it the float32 of a norm.

Reported as huggingface/transformers#43828.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from analyzer.ir.plan import Plan
from tests.corpus.case import RAISES, Case, Made


class Experts(nn.Module):
    """Two grouped products."""

    def __init__(self, mended: bool) -> None:
        super().__init__()
        self.mended = mended
        self.up = nn.Parameter(torch.randn(2, 16, 32).bfloat16() * 0.1)
        self.down = nn.Parameter(torch.randn(2, 32, 16).bfloat16() * 0.1)

    def forward(self, x: torch.Tensor, offs: torch.Tensor) -> torch.Tensor:
        """Every token by its expert."""
        if self.mended:
            x = x.to(self.up.dtype)
        h = F.grouped_mm(x, self.up, offs=offs)
        return F.grouped_mm(F.silu(h), self.down, offs=offs)


class Layer(nn.Module):
    """A norm and experts."""

    def __init__(self, mended: bool) -> None:
        super().__init__()
        self.norm, self.experts = nn.LayerNorm(16).bfloat16(), Experts(mended)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The experts' results, beside what went in."""
        offs = torch.tensor([4, 8], dtype=torch.int32)
        return x + self.experts(self.norm(x), offs)  # here


def build(mended: bool) -> Made:
    """In bfloat16."""
    return Layer(mended), {"x": torch.randn(8, 16).bfloat16()}


def as_on_cuda(module: nn.Module, inputs: dict[str, Any], folder: Path) -> Any:
    """A call in which the norm runs in float32, as CUDA's autocast has it and the CPU's has not."""
    norm = module.norm
    norm.forward = lambda x: F.layer_norm(x.float(), (16,), norm.weight.float(), norm.bias.float())
    return module(**inputs)


CASE = Case(
    report="huggingface/transformers#43828",
    kind=RAISES,
    build=build,
    cause="autocast here",
    fix="the experts' input follows their weight",
    plan=Plan(autocast="cuda:bfloat16", scope="run"),
    really=as_on_cuda,
)
