"""A value is cast to another dtype and straight back, with nothing computed in between.

Both casts read and write the whole tensor for nothing. If the dtype in between is narrower, the value also loses
bits: within one module that is a warning, unless the value had just been widened and has no more bits to lose;
between modules the narrow dtype may be meant, so it is a note.

    x = input : f32[2,32]
    narrow = _to_copy(x) : bf16[2,32]  @ block
    flat = view(narrow) : bf16[64]  @ block
    wide = _to_copy(flat) : f32[64]  @ block  # DT301
    y = relu(wide) : f32[64]  @ block

Use the value from before the first cast. Widening, computing and casting back, as norms do, is no round trip. Nor is a
pair of quantisation and dequantisation, which divides by a scale before the first cast and multiplies after the second.

    x = input : bf16[2,32]
    wide = _to_copy(x) : f32[2,32]  @ norm
    y = rsqrt(wide) : f32[2,32]  @ norm
    narrow = _to_copy(y) : bf16[2,32]  @ norm

    x = input : f32[2,32]
    scale = constant : f32[1]
    small = div.Tensor(x, scale) : f32[2,32]  @ proj
    stored = _to_copy(small, dtype=f8e4m3) : f8e4m3[2,32]  @ proj
    wide = _to_copy(stored, dtype=f32) : f32[2,32]  @ proj
    y = mul.Tensor(wide, scale) : f32[2,32]  @ proj
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from analyzer.ir.dtypes import is_float, short, width
from analyzer.ir.graph import CAST, Node
from analyzer.ir.values.limits import keeps
from analyzer.rules import Hit
from analyzer.rules.regions import VIEWS, base, readers, unviewed

if TYPE_CHECKING:
    from analyzer.ir.flow import Flow
    from analyzer.ir.literal_types import Severity

_SCALES: Final = ("div", "mul")
_SETS: Final = VIEWS | {"clamp", "round"}
"""What quantisation does between its division and its cast."""


def check(flow: Flow) -> Iterator[Hit]:
    """Every cast that only takes back the cast before it."""
    for node in flow.graph.ops():
        if node.phase:
            continue  # the gradient of a cast is the cast back: nobody wrote it, and none of it can be left out
        before = _cast_before(flow, node)
        if before is None or not _is_cast(flow, node):
            continue
        outer, inner = flow.dtypes[node.id][0], flow.dtypes[before.id][0]
        if outer != flow.reads(before.id)[0] or _is_scaled(flow, before, node):
            continue
        lossy = width(inner) <= width(outer) and not keeps(inner, flow.ranges.of(before.operands()[0]))
        again = _cast_before(flow, before)
        widened = again is not None and flow.reads(again.id)[0] == inner
        severity: Severity = "warning" if lossy and not widened and before.module == node.module else "note"
        trip = f"{short(outer)} to {short(inner)} and back with nothing computed in between"
        yield Hit(node.id, trip + (", losing bits" if lossy and not widened else ""), severity, (str(node.place), trip))


def _is_scaled(flow: Flow, before: Node, node: Node) -> bool:
    """Whether a value is scaled for the narrow dtype before the first cast, and scaled back after the second."""
    given = unviewed(flow, flow.graph[before.operands()[0].id], _SETS)
    return base(given) in _SCALES and any(base(flow.graph[edge.reader]) in _SCALES for edge in readers(flow, node))


def _cast_before(flow: Flow, node: Node) -> Node | None:
    """The cast whose result a node reads first, views passed over."""
    while node.operands():
        node = flow.graph[node.operands()[0].id]
        if _is_cast(flow, node):
            return node
        if not node.is_op or base(node) not in VIEWS:
            return None
    return None


def _is_cast(flow: Flow, node: Node) -> bool:
    if node.op != CAST or node.inserted:  # nobody wrote that one
        return False
    source, target = flow.reads(node.id)[0], flow.dtypes[node.id][0]
    return source != target and is_float(source) and is_float(target)
