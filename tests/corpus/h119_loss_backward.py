"""A loss's own backward writes float32 values by index into a bfloat16 gradient (pytorch/pytorch#130549)."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from analyzer.ir.plan import Plan
from tests.corpus.case import RAISES, Case, Made


class Loss(torch.autograd.Function):
    """The sum of the targets' scores, with its own backward."""

    @staticmethod
    def forward(ctx: Any, logits: torch.Tensor, target: torch.Tensor, mended: bool) -> torch.Tensor:
        """In the dtype of the logits."""
        ctx.save_for_backward(logits, target)
        ctx.mended = mended
        return logits[torch.arange(len(target)), target].sum()

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> Any:  # type: ignore[override]
        """One for each target."""
        logits, target = ctx.saved_tensors
        full = torch.zeros_like(logits)
        ones = torch.ones(len(target), dtype=full.dtype if ctx.mended else torch.float32)  # here
        full[torch.arange(len(target)), target] = ones
        return full * grad, None, None


class Head(nn.Module):
    """A classifier that gives its loss."""

    def __init__(self, mended: bool) -> None:
        super().__init__()
        self.mended, self.linear = mended, nn.Linear(8, 4)

    def forward(self, x: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """The loss."""
        return Loss.apply(self.linear(x), target, self.mended)  # type: ignore[no-any-return,no-untyped-call]


def build(mended: bool) -> Made:
    """In bfloat16."""
    return Head(mended).bfloat16(), {"x": torch.ones(2, 8, dtype=torch.bfloat16), "target": torch.tensor([1, 3])}


CASE = Case(
    report="pytorch/pytorch#130549",
    kind=RAISES,
    build=build,
    cause="constant here",
    fix="the values in the gradient's dtype",
    plan=Plan(device="cpu", train=True),
)
