"""A value that lies between -1 and 1 is cast to an integer, which leaves nothing of it but -1, 0 and 1.

A sine, a softmax, a sigmoid or a weight that was divided by its sum has all that it says behind the point. It happens
where code casts to the dtype of something else, `table.to(positions.dtype)`, and that is int64: 93 % of such a table
of sines is zero, and nothing fails.

    positions = input : i64[16,1]
    rate = constant : f32[1,8]
    angles = mul.Tensor(positions, rate) : f32[16,8]
    table = sin(angles) : f32[16,8]
    y = _to_copy(table, dtype=i64) : i64[16,8]  # DT205

Cast to a float dtype. What was rounded, scaled or compared before is whole, or meant to be, and is left alone.

    x = input : f32[16,8]
    weight = sigmoid(x) : f32[16,8]
    sure = gt.Scalar(weight, 0.5) : b1[16,8]
    y = _to_copy(sure, dtype=i64) : i64[16,8]
    scaled = mul.Tensor(weight, 255) : f32[16,8]
    pixels = _to_copy(scaled, dtype=u8) : u8[16,8]
    nearest = round(weight) : f32[16,8]
    z = _to_copy(nearest, dtype=i64) : i64[16,8]
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from analyzer.ir.dtypes import is_float, kind, short
from analyzer.ir.graph import CAST, Node, Ref
from analyzer.rules import Hit
from analyzer.rules.regions import VIEWS, base, unviewed

if TYPE_CHECKING:
    from analyzer.ir.flow import Flow

_WHOLE: Final = VIEWS | {
    "abs", "amax", "amin", "clamp", "clamp_max", "clamp_min", "cumsum", "max", "max_pool2d_with_indices", "relu", "sum",
}  # fmt: skip
"""Operations that give whole numbers where they are given whole numbers."""


def check(flow: Flow) -> Iterator[Hit]:
    """Every cast to an integer of what has a fraction and lies between -1 and 1."""
    for node in flow.graph.ops():
        given = None if node.phase or flow.refused(node.id) else _cast(flow, node)
        if given is None or not is_float(flow.dtype(given)):
            continue
        found = flow.ranges.of(given)
        if found is None or found.whole or found.most > 1 or _counts(flow, given) or _is_place(flow, given):
            continue
        made = unviewed(flow, flow.graph[given.id], VIEWS)
        target = short(flow.dtypes[node.id][0])
        what = f"the result of {base(made)}" if made.is_op else "a stored value"
        message = f"{what} lies from {found.low:g} to {found.high:g} and becomes {target}: its fraction is lost"
        yield Hit(node.id, message, "warning", (str(node.place) or node.id, message))


def _counts(flow: Flow, given: Ref) -> bool:
    """Whether a value was integers before, and nothing since has given it a fraction: `mask.float().clamp(0, 1)`."""
    node = flow.graph[given.id]
    while node.is_op and node.operands() and (node.op == CAST or base(node).removesuffix("_") in _WHOLE):
        if any(type(arg) is float and not arg.is_integer() for arg in (*node.args, *dict(node.kwargs).values())):
            return False
        before = node.operands()[0]
        if kind(flow.dtype(before)) not in ("float", "complex"):
            return True
        node = flow.graph[before.id]
    return False


def _is_place(flow: Flow, given: Ref) -> bool:
    """Whether a value is integers divided by a number: `(positions / 64).long()` says in which part each lies."""
    made = unviewed(flow, flow.graph[given.id], VIEWS)
    operands = made.operands() if made.is_op and base(made) == "div" else ()
    return len(operands) == 1 and kind(flow.dtype(operands[0])) == "int"


def _cast(flow: Flow, node: Node) -> Ref | None:
    """What an operation casts to an integer; None if it casts nothing, or to something else."""
    if not node.outputs or kind(flow.dtypes[node.id][0]) != "int":
        return None
    if node.op == CAST:
        return node.operands()[0]
    return node.operands()[1] if base(node) == "copy_" else None
