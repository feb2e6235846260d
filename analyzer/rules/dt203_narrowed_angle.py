"""A position or timestep is cast to a dtype with too few bits before the sine and cosine of its angles.

bfloat16 has 8 bits of precision: 998.39 becomes 1000, and every position above 256 shares its angle with a
neighbour. Casting to float32 afterwards does not bring the bits back. A cast to integers loses the fraction. Where the
code takes the narrow dtype from a table that the model stores, as SAM does with its coordinates, this is a note.

    t = input : f32[2,1]
    freqs = constant : f32[1,16]
    narrow = _to_copy(t, dtype=bf16) : bf16[2,1]  @ time  # DT203
    wide = _to_copy(narrow, dtype=f32) : f32[2,1]  @ time
    angles = mul.Tensor(wide, freqs) : f32[2,16]  @ time
    y = sin(angles) : f32[2,16]  @ time

Compute the angles and their sine in float32, and cast the result.

    t = input : f32[2,1]
    freqs = constant : f32[1,16]
    angles = mul.Tensor(t, freqs) : f32[2,16]  @ time
    y = sin(angles) : f32[2,16]  @ time
    narrow = _to_copy(y, dtype=bf16) : bf16[2,16]  @ time
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Final

from analyzer.ir.dtypes import is_float, short, width
from analyzer.ir.graph import CAST, UPDATED, Node, Ref
from analyzer.rules import Hit
from analyzer.rules.regions import PRODUCTS, VIEWS, base

if TYPE_CHECKING:
    from analyzer.ir.flow import Flow
    from analyzer.ir.literal_types import Severity

_ANGLES: Final = VIEWS | PRODUCTS | {"add", "cat", "div", "mul", "outer", "stack", "sub", "unsqueeze"}
"""What stands between a position and the sine of its angle."""


def check(flow: Flow) -> Iterator[Hit]:
    """Every narrowing cast of a value that no parameter has gone into, where a sine or cosine is taken of it."""
    waves = [node for node in flow.graph.ops() if base(node) in ("sin", "cos", "polar") and not node.phase]
    found: dict[str, str] = {}
    for wave in waves:
        for node in _before(flow, wave, _ANGLES):
            if node.id not in found and _narrows(flow, node) and not _learned(flow, node):
                found[node.id] = base(wave)
    for node_id, wave_name in found.items():
        source, target = flow.reads(node_id)[0], flow.dtypes[node_id][0]
        message = f"{short(source)} becomes {short(target)} before {wave_name}: positions lose bits"
        severity: Severity = "note" if _as_stored(flow, node_id) else "warning"
        yield Hit(node_id, message, severity, (str(flow.graph[node_id].place), message))


def _narrows(flow: Flow, node: Node) -> bool:
    if node.op != CAST or node.inserted:
        return False
    source, target = flow.reads(node.id)[0], flow.dtypes[node.id][0]
    if is_float(target):
        return width(target) == 2 and source in ("float32", "float64", "int32", "int64")
    return is_float(source) and target.startswith("int")


def _as_stored(flow: Flow, node_id: str) -> bool:
    """Whether the dtype was taken from a tensor that the model stores."""
    model = flow.graph.follows.get(Ref(node_id))
    return model is not None and flow.graph[model.id].op in ("parameter", "buffer")


def _learned(flow: Flow, node: Node) -> bool:
    """Whether the value is a hidden state: a sine of that is an activation, not a position."""
    return any(one.op == "parameter" for one in _before(flow, node, None))


def _before(flow: Flow, node: Node, through: Iterable[str] | None) -> Iterator[Node]:
    """The nodes that a node reads, and those before them as long as they are casts or among `through`."""
    queue, seen = [ref.id for ref in node.operands()], set()
    while queue:
        one = flow.graph[queue.pop(0)]
        if one.id in seen:
            continue
        seen.add(one.id)
        yield one
        if one.is_op and (through is None or one.op in (CAST, UPDATED) or base(one) in through):
            queue += [ref.id for ref in one.operands()]
