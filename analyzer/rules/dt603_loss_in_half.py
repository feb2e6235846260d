"""A loss is computed in 16 bits, because the mixed precision of the training set-up has no autocast.

Under autocast a loss function runs in float32, whatever its inputs are. FSDP's `MixedPrecision` and FSDP2's
`MixedPrecisionPolicy`, and DeepSpeed's bf16 and fp16 engines, cast weights and inputs and leave operations alone: the
cross entropy of bfloat16 logits is bfloat16. With 8 significant bits a loss of 50 moves in steps of 0.25, log
probabilities of a large vocabulary are as coarse, and so are their gradients.

    # plan: train fsdp=2 mixed=bf16
    logits = input : bf16[4,32]
    labels = input : i64[4]
    p = _log_softmax(logits, 1, False) : bf16[4,32]  @ head  # model.py:9  / cross_entropy  # DT603
    loss = nll_loss_forward(p, labels, None, 1, -100) : (bf16[], bf16[])  # model.py:9  / cross_entropy  # DT603

Cast what goes into the loss function: `F.cross_entropy(logits.float(), labels)`.

    # plan: train fsdp=2 mixed=bf16
    logits = input : bf16[4,32]
    labels = input : i64[4]
    wide = _to_copy(logits, dtype=f32) : f32[4,32]  # model.py:9
    p = _log_softmax(wide, 1, False) : f32[4,32]  # model.py:9  / cross_entropy
    loss = nll_loss_forward(p, labels, None, 1, -100) : (f32[], f32[])  # model.py:9  / cross_entropy
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from analyzer.ir.dtypes import DTYPES, short
from analyzer.rules import Hit
from analyzer.rules.regions import VIEWS, base, computes, yields
from analyzer.training.optimizer_dtypes import HALVES

if TYPE_CHECKING:
    from analyzer.ir.flow import Flow

_LOSSES: Final = frozenset((
    "binary_cross_entropy", "binary_cross_entropy_with_logits", "cosine_embedding_loss", "cross_entropy", "ctc_loss",
    "gaussian_nll_loss", "hinge_embedding_loss", "huber_loss", "kl_div", "l1_loss", "margin_ranking_loss", "mse_loss",
    "multi_margin_loss", "multilabel_margin_loss", "multilabel_soft_margin_loss", "nll_loss", "poisson_nll_loss",
    "smooth_l1_loss", "soft_margin_loss", "triplet_margin_loss",
))  # fmt: skip
"""The loss functions of torch, by their names."""


def check(flow: Flow) -> Iterator[Hit]:
    """Every operation of a loss function that gives 16 bits; those of one line are one finding."""
    training, plan = flow.plan.training, flow.plan
    if training is None or plan.autocast is not None:
        return
    wrapped = training.fsdp is not None and training.fsdp.param_dtype in HALVES
    by = "FSDP" if wrapped else "DeepSpeed"
    if not wrapped and (training.deepspeed is None or training.deepspeed.dtype not in HALVES):
        return
    for node in flow.graph.ops():
        gives = yields(flow, node)
        if node.call not in _LOSSES or node.phase or gives not in HALVES or flow.refused(node.id):
            continue
        if computes(node) and base(node) not in VIEWS:
            message = (
                f"{node.call} is computed in {short(gives)}, with {DTYPES[gives].bits} significant bits: "
                f"{by} casts weights and inputs, and there is no autocast that would widen it"
            )
            yield Hit(node.id, message, "warning", (str(node.place) or node.call,))
