"""Trained parts of a mostly frozen model are kept in 16 bits by an optimizer that has no wider copy of them.

bfloat16 has 8 significant bits: a step smaller than about 1/512 of a weight rounds away, and with the learning rates
of adapters most steps on most weights are. Nothing fails; the adapter learns less than it should. PEFT widens adapters
to float32 by itself unless told otherwise. Whole models trained in 16 bits are left to DT504.

    # plan: train frozen=base
    base = parameter : bf16[32,32]  @ base.weight
    a = parameter : bf16[8,32]  @ lora_A.weight  # DT503

Keep what is trained in float32; autocast casts it where it is used.

    # plan: train frozen=base
    base = parameter : bf16[32,32]  @ base.weight
    a = parameter : f32[8,32]  @ lora_A.weight

A model in which only a fixed table is frozen is trained as a whole.

    # plan: train frozen=table
    table = parameter : bf16[8,32]  @ table.weight
    w = parameter : bf16[32,32]  @ w
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from analyzer.ir.dtypes import short
from analyzer.rules import Hit
from analyzer.training.optimizer_dtypes import HALVES, updated
from analyzer.training.optimizers import keeps_what_rounding_loses, trains_a_small_part

if TYPE_CHECKING:
    from analyzer.ir.flow import Flow


def check(flow: Flow) -> Iterator[Hit]:
    """The 16-bit parameters that are trained in a model which is mostly frozen, by dtype."""
    if not flow.plan.train or not trains_a_small_part(flow.inventory):
        return
    if keeps_what_rounding_loses(flow.plan.training):
        return
    trained = list(updated(flow.plan, flow.inventory))
    for dtype, share in HALVES.items():
        half = tuple(held for held, kept in trained if kept == dtype)
        if half:
            message = f"trained in {short(dtype)} with no wider copy: steps under 1/{share} of a weight are lost"
            yield Hit("", message, "warning", (dtype,), tensors=half)
