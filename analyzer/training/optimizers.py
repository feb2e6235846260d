"""What each optimizer does to 16-bit weights: how it stores the sums, and in which dtype its states are."""

from __future__ import annotations

from math import prod
from typing import Final

from analyzer.ir.inventory import Inventory
from analyzer.ir.plan import Training

LIKE_THE_PARAMETER: Final = frozenset({
    "adam", "adamw", "adamw_hf", "adamw_torch", "adamw_torch_fused", "adamw_apex_fused", "adamw_torch_xla",
    "adamw_torch_npu_fused", "fusedadam",
})  # fmt: skip
"""Forms of Adam, in lower case, whose states are `zeros_like` of the parameter."""
ROUNDS: Final = LIKE_THE_PARAMETER | {
    "sgd", "adagrad", "rmsprop", "adamax", "nadam", "radam", "adadelta", "adafactor",  # torch's, and transformers' own
    "adamw_bnb_8bit", "adamw_8bit", "paged_adamw", "paged_adamw_8bit", "paged_adamw_32bit", "ademamix",
    "ademamix_8bit", "paged_ademamix_8bit", "paged_ademamix_32bit", "lion_8bit", "lion_32bit", "paged_lion_8bit",
    "paged_lion_32bit", "rmsprop_bnb", "rmsprop_bnb_8bit", "rmsprop_bnb_32bit",  # of bitsandbytes, as recipes say it
    "adam8bit", "adamw8bit", "adamw32bit", "pagedadam8bit", "pagedadamw8bit", "pagedadamw32bit", "lion", "lion8bit",
    "adamw_torch_8bit", "adamw_torch_4bit",  # of torchao: `bf16_stochastic_round` is off unless asked for
}  # fmt: skip
"""Optimizers, in lower case, that round each new weight to the nearest value of its dtype and keep no wider copy.

Their states may be wide: what is lost is the step. Names that are in neither set are not judged.
"""
EXACT: Final = frozenset({"stable_adamw"})
"""Those that keep by themselves what rounding loses: torch-optimi's, by Kahan summation where weights are 16-bit."""
MENDS: Final = "use float32 weights under autocast, stochastic rounding or Kahan summation"
"""What people do."""


def keeps_what_rounding_loses(training: Training | None) -> bool:
    """Whether the optimizer of a set-up adds small steps to 16-bit weights without losing them."""
    return training is not None and (training.compensated or training.optimizer.lower() in EXACT)


def trains_a_small_part(inventory: Inventory) -> bool:
    """Whether most elements of a model are frozen, as under an adapter."""
    sizes = dict.fromkeys((True, False), 0)
    for held in inventory.tensors:
        if held.kind == "parameter":
            sizes[held.trained] += prod(held.spec.shape)
    return sizes[True] < sizes[False]


def lost(training: Training, share: int) -> str:
    """Which steps round away in a dtype where those under 1/`share` of a weight do, in words.

    A step of Adam or Lion is about as long as the learning rate, whatever the gradient.

    >>> lost(Training(optimizer="adamw_torch", learning_rate=1e-5), 512)
    'a step of lr=1e-05 moves no weight over 0.0051'
    >>> lost(Training(optimizer="sgd", learning_rate=0.1), 512)
    'steps under 1/512 of a weight are lost'
    """
    name = training.optimizer.lower()
    if training.learning_rate and ("adam" in name or "lion" in name):
        return f"a step of lr={training.learning_rate:g} moves no weight over {training.learning_rate * share:.2g}"
    return f"steps under 1/{share} of a weight are lost"
