"""Adam keeps its moments in the dtype of the parameter, and 16 bits do not hold them.

In float16 the second moment of a gradient under about 5e-3 is zero, and so is Adam's `eps` of 1e-8: the step divides by
zero, and weights become inf or nan. That is a warning. In bfloat16 the second moment cannot decay by 0.1 %, so it stays
at its peak; many train so, and it is a note. Only optimizers that make their states like the parameter are meant:
those of torch by name, not the 8-bit or paged ones. Where a GradScaler refuses such gradients, DT502 says it.

    # plan: train optimizer=adamw_torch
    w = parameter : f16[32,32]  @ head.weight  # DT504

DeepSpeed keeps float32 masters, and moments like them, unless `bf16_master_weights_and_grads` and
`bf16_optimizer_states` say otherwise.

    # plan: train deepspeed=2 dtype=float16 masters=float16 optimizer=adamw
    w = parameter : f16[32,32]  @ head.weight  # DT504

Train float32 parameters under autocast, or in an engine with float32 masters.

    # plan: train optimizer=adamw_torch
    w = parameter : f32[32,32]  @ head.weight
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from analyzer.ir.dtypes import short
from analyzer.rules import Hit
from analyzer.training.optimizer_dtypes import moments

if TYPE_CHECKING:
    from analyzer.ir.flow import Flow
    from analyzer.ir.literal_types import Severity

LIKE_THE_PARAMETER: Final = frozenset({"adam", "adamw", "adamw_hf", "adamw_torch", "adamw_torch_fused"})
"""Optimizers, in lower case, whose states are `zeros_like` of the parameter."""
_FAULTS: Final[dict[str, tuple[Severity, str]]] = {
    "float16": ("warning", "small second moments and eps are zero in f16, so steps are inf or nan"),
    "bfloat16": ("note", "the second moment does not decay in bf16"),
}


def check(flow: Flow) -> Iterator[Hit]:
    """The parameters whose moments are kept in 16 bits, by dtype."""
    training = flow.plan.training
    if training is None or not flow.plan.train or training.optimizer.lower() not in LIKE_THE_PARAMETER:
        return
    trained = list(moments(flow.plan, flow.inventory))
    for dtype, (severity, why) in _FAULTS.items():
        half = tuple(held for held, kept in trained if kept == dtype)
        refused = dtype == "float16" and training.scaler
        if half and not refused:
            message = f"{training.optimizer} keeps its moments in {short(dtype)}: {why}"
            yield Hit("", message, severity, (dtype,), tensors=half)
