"""CUDA's layer_norm does not take a float16 input with float32 parameters; the CPU's does (pytorch/pytorch#135969)."""

from __future__ import annotations

import torch
from torch import nn

from analyzer.ir.plan import Plan
from tests.corpus.case import RAISES, Case, Made


def build(mended: bool) -> Made:
    """A norm, in the dtype of its input when mended."""
    module = nn.LayerNorm(8)
    return module.half() if mended else module, {"input": torch.ones(2, 8, dtype=torch.float16)}


CASE = Case(
    report="pytorch/pytorch#135969",
    kind=RAISES,
    build=build,
    cause="parameter weight",
    fix="the parameters in the input's dtype",
    plan=Plan(),
    recorded=True,
)
