"""A hand-written LoRA backward multiplies a bfloat16 gradient with a float32 factor (unslothai/unsloth#320)."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from analyzer.ir.plan import Plan
from tests.corpus.case import RAISES, Case, Made


class Project(torch.autograd.Function):
    """x @ down, with its own backward."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, down: torch.Tensor, mended: bool) -> torch.Tensor:
        """The product in the dtype of x."""
        ctx.save_for_backward(x, down)
        ctx.mended = mended
        return x @ down.to(x.dtype)

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> Any:  # type: ignore[override]
        """The gradients of x and down."""
        x, down = ctx.saved_tensors
        down = down.to(grad.dtype) if ctx.mended else down
        return grad @ down.mT, (x.mT @ grad).float(), None


class Lora(nn.Module):
    """A bfloat16 layer and a float32 factor."""

    def __init__(self, mended: bool) -> None:
        super().__init__()
        self.mended, self.base = mended, nn.Linear(8, 8).bfloat16()
        self.down = nn.Parameter(torch.ones(8, 4))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Project the layer's result."""
        return Project.apply(self.base(x), self.down, self.mended)  # type: ignore[no-any-return,no-untyped-call]


def build(mended: bool) -> Made:
    """The base in bfloat16, the factor in float32."""
    return Lora(mended), {"x": torch.ones(2, 8, dtype=torch.bfloat16)}


CASE = Case(
    report="unslothai/unsloth#320",
    kind=RAISES,
    build=build,
    cause="parameter down",
    fix="the factor is cast to the gradient's dtype",
    plan=Plan(device="cpu", train=True),
)
