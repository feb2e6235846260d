"""A block is recomputed for its backward under autocast without the dtype of the forward pass: float16 on CUDA.

Reported as pytorch/pytorch#105682.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn

from analyzer.ir.plan import Plan
from tests.corpus.case import SILENT, Case, Made


class Recomputed(torch.autograd.Function):
    """Runs a block without a graph, and again for the gradients."""

    @staticmethod
    def forward(ctx: Any, block: nn.Module, mended: bool, x: torch.Tensor, *weights: torch.Tensor) -> torch.Tensor:
        """The block under what is on."""
        ctx.block, ctx.dtype = block, torch.get_autocast_dtype("cpu") if mended else torch.float16
        ctx.save_for_backward(x, *weights)
        with torch.no_grad():
            return block(x)  # type: ignore[no-any-return]

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> Any:
        """The block under another dtype; float16 stands for the default of CUDA."""
        x, *weights = ctx.saved_tensors
        x = x.detach().requires_grad_()
        with torch.enable_grad(), torch.autocast("cpu", ctx.dtype):
            again = ctx.block(x)  # here
        return None, None, *torch.autograd.grad(again, [x, *weights], grad.to(again.dtype))


class Block(nn.Module):
    """Two layers with large values between them."""

    def __init__(self, mended: bool) -> None:
        super().__init__()
        self.mended = mended
        self.block = nn.Sequential(nn.Linear(8, 8, bias=False), nn.Linear(8, 8, bias=False))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """A mean over the block."""
        with torch.autocast("cpu", torch.bfloat16):
            result: torch.Tensor = Recomputed.apply(self.block, self.mended, x, *self.block.parameters())
        return result.float().mean()


def build(mended: bool) -> Made:
    """Values over 65504, which bfloat16 holds."""
    module = Block(mended)
    for weight in module.parameters():
        nn.init.constant_(weight, 100.0)
    return module, {"x": torch.full((2, 8), 100.0)}


def gradient(module: Any, inputs: dict[str, Any], folder: Path) -> torch.Tensor | None:
    """What a step gives the second layer."""
    module(**inputs).backward()
    return module.block[1].weight.grad  # type: ignore[no-any-return]


CASE = Case(
    report="pytorch/pytorch#105682",
    kind=SILENT,
    build=build,
    code="DT602",
    severity="warning",
    cause="autocast here",
    fix="the region of the recomputation has the dtype of the forward pass",
    off=100.0,
    plan=Plan(device="cpu", train=True),
    really=gradient,
)
