"""Reference weights are copied in inside one long autocast region, and the kept casts of the old ones are used.

Reported as X-GenGroup/Flow-Factory#186.
"""

from __future__ import annotations

from contextlib import nullcontext

import torch
from torch import nn

from tests.corpus.case import SILENT, Case, Made


class Compared(nn.Module):
    """How far a policy is from the reference whose weights it takes over."""

    def __init__(self, one_region_each: bool) -> None:
        super().__init__()
        self.one_region_each = one_region_each
        self.policy = nn.Linear(8, 8)
        self.register_buffer("reference", torch.eye(8))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The mean distance of the two results."""
        with nullcontext() if self.one_region_each else torch.autocast("cpu", torch.bfloat16):
            with torch.autocast("cpu", torch.bfloat16):
                first = self.policy(x)
            self.policy.weight.data.copy_(self.reference)
            with torch.autocast("cpu", torch.bfloat16):
                second = self.policy(x)  # here
        return (first.float() - second.float()).abs().mean()


def build(mended: bool) -> Made:
    """The weights are ones, the reference's are not."""
    module = Compared(mended)
    nn.init.ones_(module.policy.weight)
    return module, {"x": torch.ones(2, 8)}


CASE = Case(
    report="X-GenGroup/Flow-Factory#186",
    kind=SILENT,
    build=build,
    code="DT601",
    severity="warning",
    cause="autocast here",
    fix="a region for each forward",
    off=1.0,
)
