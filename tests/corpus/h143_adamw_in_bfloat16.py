"""AdamW steps weights that were loaded in bfloat16, and small steps round away (NVIDIA-NeMo/Automodel#2248)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn

from analyzer.ir.plan import Plan, Training
from tests.corpus.case import SILENT, Case, Made


def build(mended: bool) -> Made:
    """A layer in bfloat16, in float32 when mended."""
    module = nn.Linear(8, 8, bias=False)
    nn.init.constant_(module.weight, 0.5)
    return module if mended else module.bfloat16(), {"input": torch.ones(2, 8, dtype=module.weight.dtype)}


def steps(module: nn.Module, inputs: dict[str, Any], folder: Path) -> Any:
    """Twenty steps, and what became of a row of ones."""
    optimizer = torch.optim.AdamW(module.parameters(), lr=1e-4, weight_decay=0.0)
    for _ in range(20):
        module(**inputs).float().mean().backward()
        optimizer.step()
        optimizer.zero_grad()
    return module(**inputs)


CASE = Case(
    report="NVIDIA-NeMo/Automodel#2248",
    kind=SILENT,
    build=build,
    code="DT504",
    severity="warning",
    cause="parameter weight",
    fix="the weights are loaded in float32",
    off=0.01,
    plan=Plan(device="cpu", train=True, training=Training(optimizer="adamw_torch", learning_rate=1e-4)),
    really=steps,
)
