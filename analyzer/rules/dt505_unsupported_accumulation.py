"""DeepSpeed is asked to accumulate gradients in a dtype that it does not support with that of the engine.

Without ZeRO the two must be one, and `deepspeed.initialize` raises. With ZeRO any pair is taken.

    # plan: train deepspeed=0 dtype=bfloat16 accumulate=float32
    w = parameter : f32[32,32]  @ head.weight  # DT505

Leave `grad_accum_dtype` out, give it the engine's dtype, or use ZeRO.

    # plan: train deepspeed=2 dtype=bfloat16 accumulate=float32
    w = parameter : f32[32,32]  @ head.weight
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from analyzer.rules import Hit

if TYPE_CHECKING:
    from analyzer.ir.flow import Flow


def check(flow: Flow) -> Iterator[Hit]:
    """The pair, in the words of `_do_optimizer_sanity_check` of deepspeed 0.19."""
    engine = flow.plan.training.deepspeed if flow.plan.training else None
    if engine is None or engine.stage or not flow.plan.train:
        return
    model = engine.dtype or "float32"
    accumulated = engine.accumulation_dtype or model
    trained = tuple(held for held in flow.inventory.tensors if held.kind == "parameter" and held.trained)
    if accumulated != model and trained:
        words = f"unsupported mix of model_dtype=torch.{model} and grad_accum_dtype=torch.{accumulated}"
        yield Hit("", words, "error", (words,), tensors=trained)
