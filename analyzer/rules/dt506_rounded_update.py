"""A 16-bit tensor takes updates that are too small for it: they round away, and it does not move.

bfloat16 has 8 significant bits, float16 has 11: what is under 1/512 or 1/4096 of a value leaves the value as it is. A
moving average with a decay of 0.9999 takes a ten-thousandth of each new value, and stays what it was when it was made;
weights that an optimizer steps by a small learning rate stay too. Nothing fails. What counts is the number in the code;
averages with a decay of 0.9 are none.

    shadow = buffer : bf16[32]  @ ema.shadow
    w = parameter : bf16[32]  @ w
    d = sub.Tensor(shadow, w) : bf16[32]  @ ema
    u = mul.Tensor(d, 0.0001) : bf16[32]  @ ema
    y = sub_.Tensor(shadow, u) : bf16[32]  @ ema  # DT506

Keep such a tensor in float32, and cast it where it is used.

    shadow = buffer : f32[32]  @ ema.shadow
    w = parameter : bf16[32]  @ w
    d = sub.Tensor(shadow, w) : f32[32]  @ ema
    u = mul.Tensor(d, 0.0001) : f32[32]  @ ema
    y = sub_.Tensor(shadow, u) : f32[32]  @ ema

An optimizer that is no Adam of torch, whose 16-bit weights DT504 tells, rounds its steps away as well: SGD, Adafactor,
and those of bitsandbytes, whose states alone are wide or quantised.

    # plan: train optimizer=adamw_bnb_8bit
    w = parameter : bf16[32,32]  @ head.weight  # DT506

Train float32 weights under autocast, or in an engine with float32 masters. Where there is no memory for them: Kahan
summation (`stable_adamw` of torch-optimi), or stochastic rounding (`adamw_torch_8bit` with
`optim_args: bf16_stochastic_round=True`).

    # plan: train deepspeed=2 dtype=bfloat16 optimizer=adamw_bnb_8bit
    w = parameter : bf16[32,32]  @ head.weight
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from analyzer.ir.dtypes import short
from analyzer.rules import Hit
from analyzer.rules.regions import base
from analyzer.rules.updates import Update, updates
from analyzer.training.optimizer_dtypes import HALVES, updated
from analyzer.training.optimizers import (
    LIKE_THE_PARAMETER,
    MENDS,
    ROUNDS,
    keeps_what_rounding_loses,
    lost,
    trains_a_small_part,
)

if TYPE_CHECKING:
    from analyzer.ir.flow import Flow


def check(flow: Flow) -> Iterator[Hit]:
    """Writes that round away, and the weights that a training plan's optimizer steps in 16 bits."""
    yield from _in_the_graph(flow)
    yield from _by_the_optimizer(flow)


def _in_the_graph(flow: Flow) -> Iterator[Hit]:
    """The last of several writes to one tensor; all tensors that a line writes together."""
    small: dict[str, Update] = {}
    takes_more = set()
    for one in updates(flow):
        dtype = flow.dtype(one.target)
        if dtype not in HALVES or (base(one.node) == "copy_" and one.share == 1):
            continue
        if one.share * HALVES[dtype] >= 1:
            takes_more.add(one.root.id)  # as the compensation of a Kahan summation does
        else:
            small[one.root.id] = one
    for root, one in small.items():
        if root not in takes_more:
            dtype = flow.dtype(one.target)
            what = one.root.stored_as or "state"
            message = (
                f"{short(dtype)} {what} takes updates with a factor of {one.share:.2g}: what is under "
                f"1/{HALVES[dtype]} of a value rounds away, so it hardly moves; keep it in f32"
            )
            yield Hit(one.node.id, message, "warning", (str(one.node.place) or one.node.id, what))


def _by_the_optimizer(flow: Flow) -> Iterator[Hit]:
    training = flow.plan.training
    if training is None or not flow.plan.train or keeps_what_rounding_loses(training):
        return
    name = training.optimizer.lower()
    if name not in ROUNDS - LIKE_THE_PARAMETER or trains_a_small_part(flow.inventory):
        return
    trained = list(updated(flow.plan, flow.inventory))
    for dtype, share in HALVES.items():
        half = tuple(held for held, kept in trained if kept == dtype)
        if half and not (dtype == "float16" and training.scaler):  # DT502's affair
            message = f"{training.optimizer} rounds each step to {short(dtype)}: {lost(training, share)}; {MENDS}"
            yield Hit("", message, "warning", (dtype,), tensors=half)
