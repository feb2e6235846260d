"""A dequantised weight comes back in the bfloat16 of its state, and the gradient is half.

Reported as unslothai/unsloth#4005.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from analyzer.ir.plan import Plan
from tests.corpus.case import RAISES, Case, Made


def dequantised(codes: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    """The weight in the dtype of its state."""
    return codes.to(scale.dtype) * scale


class Project(torch.autograd.Function):
    """x @ weight, with its own backward."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, codes: torch.Tensor, scale: torch.Tensor, mended: bool) -> torch.Tensor:
        """The product in the dtype of x."""
        ctx.save_for_backward(codes, scale)
        ctx.mended = mended
        return x @ dequantised(codes, scale).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> Any:  # type: ignore[override]
        """The gradient of x."""
        weight = dequantised(*ctx.saved_tensors)
        weight = weight.to(grad.dtype) if ctx.mended else weight
        return grad @ weight.mT, None, None, None


class Tuned(nn.Module):
    """A trained layer before one in eight bits."""

    def __init__(self, mended: bool) -> None:
        super().__init__()
        self.mended, self.adapter = mended, nn.Linear(8, 8).half()
        self.register_buffer("codes", torch.randint(-9, 9, (8, 4), dtype=torch.int8))
        self.register_buffer("scale", torch.full((1, 4), 0.125, dtype=torch.bfloat16))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Project the layer's result."""
        return Project.apply(self.adapter(x), self.codes, self.scale, self.mended)  # type: ignore[no-any-return,no-untyped-call]


def build(mended: bool) -> Made:
    """In half, the state of the weight in bfloat16."""
    return Tuned(mended), {"x": torch.randn(2, 8).half()}


CASE = Case(
    report="unslothai/unsloth#4005",
    kind=RAISES,
    build=build,
    cause="buffer scale",
    fix="the weight is cast to the gradient's dtype",
    plan=Plan(device="cpu", train=True),
)
