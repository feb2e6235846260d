"""Loading gives the weights another dtype than the checkpoint stores, and nobody asked for it.

Without a dtype of its own, `from_pretrained` takes the one that config.json names. Where the files hold another one,
the weights are rounded (float32 or float16 into bfloat16), may overflow (bfloat16 into float16), or take twice the
memory without being any better (16 bits into float32). Weights that a person gives another dtype are a note.

    # checkpoint: w=f32 norm=f32
    # loaded: bf16
    w = parameter : bf16[32,32]  @ head.weight  # DT401
    norm = parameter : bf16[32]  @ norm.weight  # DT401

Say the dtype that you mean (`dtype=...` of `from_pretrained`), or make config.json say what the files hold.

    # checkpoint: w=bf16 norm=bf16
    # loaded: bf16
    w = parameter : bf16[32,32]  @ head.weight
    norm = parameter : bf16[32]  @ norm.weight
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from analyzer.ir.dtypes import is_float, short, width
from analyzer.rules import Hit

if TYPE_CHECKING:
    from analyzer.ir.flow import Flow

_LOSS: Final = {
    ("float32", "bfloat16"): "16 of its 24 bits of precision are lost",
    ("float32", "float16"): "13 of its 24 bits of precision are lost, and values over 65504 become infinite",
    ("float16", "bfloat16"): "3 of its 11 bits of precision are lost",
    ("bfloat16", "float16"): "values over 65504 become infinite, and those under 6e-8 zero",
}
"""What a conversion costs, where it costs more than memory."""


def check(flow: Flow) -> Iterator[Hit]:
    """The checkpoint's own dtype against that of the load; single odd tensors are DT402's affair."""
    held, loaded = flow.inventory, flow.inventory.loaded
    stored = held.stored_dtype
    if not stored or stored == loaded or width(stored) < 2 or not is_float(loaded):
        return
    changed = tuple(one for one in held.tensors if one.saved == stored and one.spec.dtype == loaded)
    if not changed:
        return
    asked = flow.plan.dtype == loaded
    who = "as asked" if asked else "as config.json says" if held.declared == loaded else "by default"
    extra = sum(one.spec.bytes for one in changed) * (width(loaded) - width(stored)) // width(loaded)
    cost = _LOSS.get((stored, loaded), f"takes {extra:,} bytes more and is no more precise")
    words = f"stored in {short(stored)}, loaded in {short(loaded)} {who}: {cost}"
    yield Hit("", words, "note" if asked else "warning", (stored, loaded), widened_bytes=max(extra, 0), tensors=changed)
