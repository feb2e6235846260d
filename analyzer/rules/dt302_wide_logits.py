"""The result of a matrix product is cast to float32 and kept as the model's output, as `logits.float()` does.

The wide copy lives beside the narrow one and holds no more bits. Over a vocabulary and a long sequence it is
often the largest tensor of all; below 256 MiB it is a note.

    h = input : bf16[8192,16]
    w = parameter : bf16[16,65536]  @ lm_head
    logits = mm(h, w) : bf16[8192,65536]  @ lm_head
    out = _to_copy(logits, dtype=f32) : f32[8192,65536]  # DT302
    return out

Cast what is computed with, such as the last position alone.

    h = input : bf16[8192,16]
    w = parameter : bf16[16,65536]  @ lm_head
    logits = mm(h, w) : bf16[8192,65536]  @ lm_head
    last = select.int(logits, 0, 8191) : bf16[65536]
    out = _to_copy(last, dtype=f32) : f32[65536]
    return out
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from analyzer.ir.dtypes import short, width
from analyzer.ir.graph import CAST
from analyzer.rules import Hit
from analyzer.rules.regions import PRODUCTS, VIEWS, base, unviewed

if TYPE_CHECKING:
    from analyzer.ir.flow import Flow

LARGE: Final = 256 * 2**20
"""Bytes of a wide copy from which it is a warning."""
_WHOLE: Final = VIEWS - {"chunk", "narrow", "select", "slice", "split", "split_with_sizes", "unbind"}


def check(flow: Flow) -> Iterator[Hit]:
    """Every output that is a product's whole result, cast wider by the code."""
    for ref in flow.graph.outputs:
        node = unviewed(flow, flow.graph[ref.id], _WHOLE)
        if node.op != CAST or node.inserted or node.phase:
            continue
        source, target = flow.reads(node.id)[0], flow.dtypes[node.id][0]
        made = unviewed(flow, flow.graph[node.operands()[0].id], _WHOLE)
        if target != "float32" or width(source) != 2 or base(made) not in PRODUCTS:
            continue
        size = node.outputs[0].bytes
        message = f"{short(source)} results are kept in {short(target)}: {size:,} bytes more"
        yield Hit(node.id, message, "warning" if size >= LARGE else "note", widened_ops=1, widened_bytes=size)
