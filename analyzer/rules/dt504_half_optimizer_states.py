"""Adam trains 16-bit weights without float32 masters: small steps round away, and its moments are no better.

In bfloat16, which has 8 significant bits, a step under 1/512 of a weight leaves the weight as it is. A step of Adam is
about as long as the learning rate, so at 1e-5 no weight over 0.005 moves, and most of a model is over that. The second
moment cannot decay by 0.1 % either: it stays at its peak, and the steps get smaller still. Nothing fails; the loss
falls at first, by the small weights alone. In float16 the second moment of a gradient under about 5e-3 is zero, and so
is Adam's `eps` of 1e-8: the step divides by zero, and weights become inf or nan.

Only optimizers that make their states like the parameter are meant, the others are DT506's affair; a small part of a
model is DT503's. Where a GradScaler refuses such gradients, DT502 says it.

    # plan: train optimizer=adamw_torch
    w = parameter : bf16[32,32]  @ head.weight  # DT504

DeepSpeed keeps float32 masters, and moments like them, unless `bf16_master_weights_and_grads` and
`bf16_optimizer_states` say otherwise.

    # plan: train deepspeed=2 dtype=float16 masters=float16 optimizer=adamw
    w = parameter : f16[32,32]  @ head.weight  # DT504

Train float32 weights under autocast, or in an engine with float32 masters. Where there is no memory for them: Kahan
summation, which keeps in 16 more bits what each step loses (`stable_adamw` of torch-optimi), or stochastic rounding,
which is right on average (`optim_args: bf16_stochastic_round=True` with `adamw_torch_8bit`).

    # plan: train optimizer=adamw_torch
    w = parameter : f32[32,32]  @ head.weight
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from analyzer.ir.dtypes import short
from analyzer.rules import Hit
from analyzer.training.optimizer_dtypes import HALVES, moments, updated
from analyzer.training.optimizers import (
    LIKE_THE_PARAMETER,
    MENDS,
    keeps_what_rounding_loses,
    lost,
    trains_a_small_part,
)

if TYPE_CHECKING:
    from analyzer.ir.flow import Flow
    from analyzer.ir.plan import Training

_BETA2: Final = 0.999
"""Adam's default."""


def check(flow: Flow) -> Iterator[Hit]:
    """The parameters that Adam updates, or whose moments it keeps, in 16 bits: one finding for each dtype."""
    training = flow.plan.training
    if training is None or not flow.plan.train or training.optimizer.lower() not in LIKE_THE_PARAMETER:
        return
    if keeps_what_rounding_loses(training):
        return
    kept = dict(moments(flow.plan, flow.inventory))
    weights = dict(updated(flow.plan, flow.inventory))
    overflowing = tuple(held for held, dtype in kept.items() if dtype == "float16")
    if overflowing and not training.scaler:
        message = f"{training.optimizer} keeps its moments in f16: small second moments and eps are zero in f16"
        yield Hit("", f"{message}, so steps are inf or nan", "warning", ("float16",), tensors=overflowing)
    half = tuple(held for held in kept if "bfloat16" in (kept[held], weights[held]))
    losses = _losses(training, weights[half[0]], kept[half[0]]) if half else ""
    if losses and not trains_a_small_part(flow.inventory):
        message = f"{training.optimizer} has no float32 masters: {losses}; {MENDS}"
        yield Hit("", message, "warning", ("bfloat16",), tensors=half)


def _losses(training: Training, weight: str, moment: str) -> str:
    """What of weights and moments in these dtypes does not move."""
    parts = [f"in {short(weight)} {lost(training, HALVES[weight])}"] if weight in HALVES else []
    if moment in HALVES and 1 - (training.beta2 or _BETA2) < 1 / HALVES[moment]:
        parts.append("the second moment does not decay" + ("" if parts else f" in {short(moment)}"))
    return ", and ".join(parts)
