"""A quantised layer computes in a wider dtype than that of the activations which enter it.

bitsandbytes casts the activation to its compute dtype, unpacks the weight to it, multiplies, and casts the result
back. The compute dtype is float32 where the config names none, so that half-precision models run every product in
float32: correct, and several times slower, as no tensor core takes part. Nothing warns.

    x = input : bf16[2,32]
    packed = parameter : u8[512,1]  @ proj
    wide = _to_copy(x, dtype=f32) : f32[2,32]  @ proj
    w = quantised.dequantize.default(packed) : f32[32,32]  @ proj
    y = linear(wide, w) : f32[2,32]  @ proj  # DT303
    z = _to_copy(y, dtype=bf16) : bf16[2,32]  @ proj

Set `bnb_4bit_compute_dtype` to the dtype of the activations.

    x = input : bf16[2,32]
    packed = parameter : u8[512,1]  @ proj
    w = quantised.dequantize.default(packed) : bf16[32,32]  @ proj
    y = linear(x, w) : bf16[2,32]  @ proj
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from analyzer.ir.dtypes import is_float, short, width
from analyzer.ir.graph import CAST
from analyzer.rules import Hit
from analyzer.rules.regions import PRODUCTS, VIEWS, base, unviewed

if TYPE_CHECKING:
    from analyzer.ir.flow import Flow

_UNPACKED: Final = "quantised.dequantize.default"
"""The operation that unpacks a weight: it only hands on what is stored, but here it is what is looked for."""
_VIEWS: Final = VIEWS - {_UNPACKED}


def check(flow: Flow) -> Iterator[Hit]:
    """Every product of an unpacked weight whose other operand was widened for it; all layers of a model are one."""
    for node in flow.graph.ops():
        if base(node) not in PRODUCTS or node.phase or flow.refused(node.id):
            continue
        roots = [unviewed(flow, flow.graph[ref.id], _VIEWS) for ref in node.operands()]
        if not any(root.op == _UNPACKED for root in roots):
            continue
        for root in roots:
            if root.op != CAST or root.module != node.module:
                continue
            given, made = flow.reads(root.id)[0], flow.dtypes[root.id][0]
            if is_float(given) and width(made) > width(given) > 1:
                message = f"{short(given)} enters a quantised layer that computes in {short(made)}"
                yield Hit(node.id, message, "warning", (given, made))
