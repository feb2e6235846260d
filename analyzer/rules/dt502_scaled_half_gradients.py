"""A GradScaler is to unscale the gradients of float16 parameters, and refuses to.

A parameter's gradient has its dtype, and in float16 it may overflow while it is unscaled. The error comes at the first
optimizer step, or where gradients are clipped; a fused optimizer without clipping is not stopped. FSDP1's own scaler
takes float16, and DeepSpeed scales by itself.

    # plan: train scaler
    w = parameter : f16[32,32]  @ head.weight  # DT502

Load the model in float32, or at least what is trained of it: autocast makes the float16.

    # plan: train scaler frozen=base
    base = parameter : f16[32,32]  @ base.weight
    w = parameter : f32[32,32]  @ head.weight
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from analyzer.rules import Hit
from analyzer.training.optimizer_dtypes import updated

if TYPE_CHECKING:
    from analyzer.ir.flow import Flow

WORDS = "Attempting to unscale FP16 gradients."
"""As torch/amp/grad_scaler.py says it."""


def check(flow: Flow) -> Iterator[Hit]:
    """All trained parameters whose gradients a plain GradScaler gets in float16."""
    training = flow.plan.training
    if training is None or not training.scaler or training.deepspeed is not None:
        return
    if training.fsdp is not None and training.fsdp.version == 1:
        return
    half = tuple(held for held, dtype in updated(flow.plan, flow.inventory) if dtype == "float16")
    if half:
        yield Hit("", WORDS, "error", (WORDS,), tensors=half)
