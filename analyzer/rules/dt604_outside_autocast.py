"""A method of the model is called that the plan's autocast does not cover, so products run in float32.

Accelerate and the Trainer put autocast around `forward` alone. What a trainer calls besides (`model.encode(...)`,
`model.vision_tower(...)`, `unwrap_model(model).sample(...)`, the `base_model` of an adapter) runs as if there were no
mixed precision: at twice the memory and a fraction of the speed, or it is refused where a kernel takes halves alone.

    w = parameter : f32[4,4]  @ encoder.weight
    x = input : f32[2,4]
    y = mm(x, w) : f32[2,4]  @ encoder  $ encode  # DT604

Go through `forward`: `model(...)` with an argument that says what is meant; or put `with accelerator.autocast():`
around the call.

    w = parameter : f32[4,4]  @ encoder.weight
    x = input : f32[2,4]
    c = _to_copy(w, dtype=bf16) : bf16[4,4]  @ encoder  + autocast
    n = _to_copy(x, dtype=bf16) : bf16[2,4]  @ encoder  + autocast
    y = mm(n, c) : bf16[2,4]  @ encoder

Where such a call is refused, DT101 is the error, and this a note that says why.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from analyzer.rules import Hit
from analyzer.rules.regions import PRODUCTS, base

if TYPE_CHECKING:
    from analyzer.ir.flow import Flow


def check(flow: Flow) -> Iterator[Hit]:
    """Products that autocast would have narrowed, and refused calls: one finding for each method."""
    for node in flow.graph.ops():
        why = f"autocast is off here, because {node.uncovered} was called, not forward"
        if not node.uncovered:
            continue
        if flow.refused(node.id):
            yield Hit(node.id, why, "note", (node.uncovered,))
        elif base(node) in PRODUCTS and set(flow.reads(node.id)) == {"float32"}:
            words = f"{why}: products run in f32"
            yield Hit(node.id, words, "warning", (node.uncovered,), widened_ops=1)
