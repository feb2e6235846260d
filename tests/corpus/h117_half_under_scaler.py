"""What is trained was loaded in float16, and a GradScaler refuses to unscale its gradients (haotian-liu/LLaVA#363)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn

from analyzer.ir.plan import Plan, Training
from tests.corpus.case import RAISES, Case, Made


def build(mended: bool) -> Made:
    """A layer in float16, in float32 when mended; autocast makes the float16."""
    module = nn.Linear(8, 8)
    return module if mended else module.half(), {"input": torch.ones(2, 8)}


def step(module: nn.Module, inputs: dict[str, Any], folder: Path) -> Any:
    """One step of an optimizer, scaled."""
    optimizer, scaler = torch.optim.SGD(module.parameters(), foreach=False), torch.amp.GradScaler("cpu")
    result = module(**inputs)
    scaler.scale(result.float().mean()).backward()
    scaler.step(optimizer)
    return result


CASE = Case(
    report="haotian-liu/LLaVA#363",
    kind=RAISES,
    build=build,
    code="DT502",
    cause="parameter weight",
    fix="what is trained is loaded in float32",
    plan=Plan(device="cpu", train=True, autocast="cpu:float16", scope="run", training=Training(scaler=True)),
    really=step,
)
