"""The bits of a tensor in one float format are read as another: `x.view(dtype)` casts nothing.

bfloat16 and float16 are both 16 bits wide, and so are the two formats of float8, so that nothing fails: 1.0 in bfloat16
is 1.875 in float16. It happens where a cache is allocated in one dtype and a kernel writes raw words of another into
it.

    cache = buffer : f16[32,16]  @ attn.cache
    k = input : bf16[4,16]
    words = view.dtype(cache, bf16) : bf16[32,16]  @ attn  # DT206
    y = slice_scatter(words, k, 0, 0, 4) : bf16[32,16]  @ attn

Cast with `x.to(dtype)`, or allocate what is written into in the dtype of what is written. Bytes that hold packed
numbers, and integers whose bits are meant, are no floats and are left alone.

    packed = buffer : u8[32,16]  @ proj.weight
    w = view.dtype(packed, f8e4m3) : f8e4m3[32,16]  @ proj
    x = input : f32[4,16]
    bits = view.dtype(x, i32) : i32[4,16]
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from analyzer.ir.dtypes import is_float, short, width
from analyzer.ir.graph import Node
from analyzer.rules import Hit
from analyzer.rules.regions import VIEWS, base

if TYPE_CHECKING:
    from analyzer.ir.flow import Flow

_VIEW: Final = "aten.view.dtype"


def check(flow: Flow) -> Iterator[Hit]:
    """Every view of floats as floats of another format, but the one that takes such a view back."""
    for node in flow.graph.ops():
        if node.op != _VIEW or node.phase or flow.refused(node.id):
            continue
        source, target = _source(flow, node), flow.dtypes[node.id][0]
        if source == target or not (is_float(source) and is_float(target)):
            continue
        if _takes_back(flow, node, target):
            continue
        message = f"the bits of {short(source)} are read as {short(target)}: view(dtype) casts nothing"
        yield Hit(node.id, message, "warning", (str(node.place) or node.id, message))


def _source(flow: Flow, node: Node) -> str:
    """The format in which the bits were written, before they were only looked at as integers of the same width."""
    source = flow.reads(node.id)[0]
    before = _view_before(flow, node)
    if is_float(source) or before is None:
        return source
    written = flow.reads(before.id)[0]
    return written if width(written) == width(source) else source


def _takes_back(flow: Flow, node: Node, target: str) -> bool:
    """Whether a view only gives the bits the format back in which they were written."""
    before = _view_before(flow, node)
    return before is not None and flow.reads(before.id)[0] == target


def _view_before(flow: Flow, node: Node) -> Node | None:
    """The view that read the same bits as another dtype before, with nothing computed since."""
    before = flow.graph[node.operands()[0].id]
    while before.op != _VIEW and before.operands() and base(before) in VIEWS:
        before = flow.graph[before.operands()[0].id]
    return before if before.op == _VIEW else None
