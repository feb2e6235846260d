"""A float32 norm stands in a bfloat16 unit that FSDP is to flatten (huggingface/trl#1723)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn

from analyzer.ir.plan import Plan, Training, Wrap
from tests.capture.wrapped import alone, shard
from tests.corpus.case import RAISES, Case, Made

WRAP = Wrap(1)


def build(mended: bool) -> Made:
    """A layer in bfloat16 and its norm, in float32 unless mended."""
    module = nn.Sequential(nn.Linear(8, 8), nn.LayerNorm(8)).bfloat16()
    if not mended:
        module[1].float()
    return module, {"input": torch.ones(2, 8, dtype=torch.bfloat16)}


def flatten(module: nn.Module, inputs: dict[str, Any], folder: Path) -> Any:
    """Shard the module, in a process group of one, and call it."""
    folder.mkdir(exist_ok=True)
    with alone(folder):
        return shard(module, WRAP)(**inputs)


CASE = Case(
    report="huggingface/trl#1723",
    kind=RAISES,
    build=build,
    code="DT501",
    cause="parameter 1.weight",
    fix="the norm in the dtype of its unit",
    plan=Plan(device="cpu", train=True, training=Training(fsdp=WRAP)),
    really=flatten,
)
