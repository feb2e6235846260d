"""A tensor of the checkpoint has another shape than its place in the model, and `from_pretrained` refuses to load it.

The config is that of another size, the vocabulary was enlarged in one and not in the other, or the code changed. With
`ignore_mismatched_sizes` the parameter is made anew instead, and what was learned is lost.

    # checkpoint: w=bf16[30,32]
    # loaded: bf16
    w = parameter : bf16[32,32]  @ head.weight  # DT404

Make config.json say what the files hold, or resize the model after it was loaded.

    # checkpoint: w=bf16[32,32]
    # loaded: bf16
    w = parameter : bf16[32,32]  @ head.weight
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from analyzer.rules import Hit

if TYPE_CHECKING:
    from analyzer.ir.flow import Flow


def check(flow: Flow) -> Iterator[Hit]:
    """Every tensor whose stored shape is not that of its place; all of them are one finding."""
    odd = flow.inventory.other_shapes
    these = tuple(held for held in flow.inventory.tensors if held.name in odd)
    if these:
        stored, place = list(odd[these[0].name]), list(these[0].spec.shape)
        words = f"stored as {stored}, but the model has {place} there: from_pretrained refuses it"
        yield Hit("", words, "error", ("shape",), tensors=these)
