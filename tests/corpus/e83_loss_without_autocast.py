"""FSDP2's mixed precision casts weights and installs no autocast, so the loss runs in bfloat16, in steps of 0.25.

Reported as Modalities/modalities#464.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn

from analyzer.ir.plan import Plan, Training, Wrap
from tests.capture.wrapped import alone, shard
from tests.corpus.case import SILENT, Case, Made

WRAP = Wrap(2, policy="none", param_dtype="bfloat16")


class Classifier(nn.Module):
    """A head, and the cross entropy of its logits."""

    def __init__(self, mended: bool) -> None:
        super().__init__()
        self.mended, self.head = mended, nn.Linear(8, 64, bias=False)

    def forward(self, x: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """The loss, as loggers show it."""
        logits = self.head(x)
        logits = logits.float() if self.mended else logits
        return nn.functional.cross_entropy(logits, labels).float()  # here


def build(mended: bool) -> Made:
    """A loss of 50.89, which bfloat16 has as 51."""
    module = Classifier(mended)
    nn.init.constant_(module.head.weight, 0.0)
    nn.init.constant_(module.head.weight[:4], 6.1875)
    return module, {"x": torch.ones(2, 8), "labels": torch.tensor([5, 6])}


def sharded(module: nn.Module, inputs: dict[str, Any], folder: Path) -> Any:
    """One step forward under the real FSDP2."""
    folder.mkdir(exist_ok=True)
    with alone(folder):
        return shard(module, WRAP)(**inputs)


CASE = Case(
    report="Modalities/modalities#464",
    kind=SILENT,
    build=build,
    code="DT603",
    severity="warning",
    cause="call here",
    fix="`.float()` before the loss",
    off=0.1,
    plan=Plan(device="cpu", train=True, training=Training(fsdp=WRAP)),
    really=sharded,
)
