"""A position, a timestep or an angle is held in 16 bits before its sine and cosine are taken.

bfloat16 has 8 bits of precision and holds whole numbers up to 256, float16 up to 2048: 998.39 becomes 1000, and
positions above share their angle with a neighbour. Casting to float32 afterwards does not bring the bits back. It is
told of a cast, also where autocast makes it for a product of positions and frequencies, of `arange(dtype=...)`, of a
product that is computed in 16 bits, and of a table of frequencies that is stored in them. A cast to integers loses the
fraction. Positions and angles that the code keeps within those limits, and
numbers that are held as they are, are quiet. Where the code takes the narrow dtype from a table that the model stores,
as SAM does with its coordinates, this is a note, unless the positions are known to go further.

    t = input : f32[2,1]
    freqs = constant : f32[1,16]
    narrow = _to_copy(t, dtype=bf16) : bf16[2,1]  @ time  # DT203
    wide = _to_copy(narrow, dtype=f32) : f32[2,1]  @ time
    angles = mul.Tensor(wide, freqs) : f32[2,16]  @ time
    y = sin(angles) : f32[2,16]  @ time

    steps = arange(4096, dtype=bf16) : bf16[4096]  @ rope  # DT203
    y = cos(steps) : bf16[4096]  @ rope

    inv_freq = buffer : bf16[16]  @ rope.inv_freq
    steps = arange(4096) : i64[4096]  @ rope
    wide = _to_copy(inv_freq, dtype=f32) : f32[16]  @ rope
    angles = outer(steps, wide) : f32[4096,16]  @ rope  # DT203
    y = cos(angles) : f32[4096,16]  @ rope

Compute the angles and their sine in float32, and cast the result.

    t = input : f32[2,1]
    freqs = constant : f32[1,16]
    angles = mul.Tensor(t, freqs) : f32[2,16]  @ time
    y = sin(angles) : f32[2,16]  @ time
    narrow = _to_copy(y, dtype=bf16) : bf16[2,16]  @ time

Positions up to 256 are held as they are.

    steps = arange(64) : i64[64]  @ rope
    narrow = _to_copy(steps, dtype=bf16) : bf16[64]  @ rope
    y = sin(narrow) : bf16[64]  @ rope
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from analyzer.ir.blame.roles import base
from analyzer.ir.dtypes import is_float, kind, short
from analyzer.ir.graph import CAST, Node, Ref
from analyzer.ir.values.limits import LIMITS, keeps
from analyzer.rules import Hit
from analyzer.rules.angles import HALVES, MULTIPLIED, before_wave, is_learned, waves
from analyzer.rules.regions import CASTS, readers, unviewed

if TYPE_CHECKING:
    from analyzer.ir.flow import Flow
    from analyzer.ir.literal_types import Severity


def check(flow: Flow) -> Iterator[Hit]:
    """Every place where what no parameter has gone into loses bits before a sine or cosine is taken of it."""
    found: dict[str, Hit] = {}
    for wave in waves(flow):
        before = list(before_wave(flow, wave))
        if not any(_is_half(flow, node) or _narrows(flow, node) for node in before):
            continue
        words = {node.id: lost for node in before if (lost := _lost(flow, node, wave)) and not is_learned(flow, node)}
        for node in before:
            if node.id in found or node.id not in words or any(one.id in words for one in before_wave(flow, node)):
                continue  # what has lost its bits before has none to lose
            message = f"{words[node.id]} before {base(wave)}: positions lose bits{_limit(flow, node)}"
            known = any(_is_far(flow, ref, flow.dtypes[node.id][0]) for ref in node.operands())
            severity: Severity = "note" if _as_stored(flow, node.id) and not known else "warning"
            found[node.id] = Hit(node.id, message, severity, (str(node.place), words[node.id]))
    yield from found.values()


def _lost(flow: Flow, node: Node, wave: Node) -> str:
    """How a node before a wave loses bits, in words; "" if it does not, as far as the code says."""
    if _narrows(flow, node):
        source, target = flow.reads(node.id)[0], flow.dtypes[node.id][0]
        given = flow.ranges.of(node.operands()[0])
        held = is_float(target) and (keeps(target, given) or _is_near(flow, node, target))
        by = " by autocast" if node.inserted else ""
        return "" if held or _slow(flow, wave, target) else f"{short(source)} becomes {short(target)}{by}"
    narrow = _half_of(flow, node)
    if not narrow or _slow(flow, wave, narrow):
        return ""
    if base(node) in ("arange", "linspace"):
        return "" if keeps(narrow, flow.ranges.of(Ref(node.id))) else f"made in {short(narrow)}"
    far = base(node) in MULTIPLIED and any(_is_far(flow, ref, narrow) for ref in node.operands())
    if not far or not is_float(node.dtype):
        return ""
    return f"computed in {short(narrow)}" if node.dtype == narrow else f"multiplied with a table in {short(narrow)}"


def _half_of(flow: Flow, node: Node) -> str:
    """The 16-bit dtype that a node computes in, or in which a table that it multiplies with is stored; "" if none."""
    if not node.is_op or node.op == CAST:
        return ""
    here = flow.dtypes[node.id][0] if node.outputs else ""
    if here in HALVES:
        return here
    tables = (_table(flow, ref) for ref in node.operands()) if base(node) in MULTIPLIED else iter(())
    return next(filter(None, tables), "")


def _table(flow: Flow, ref: Ref) -> str:
    """The 16-bit dtype that a buffer is stored in, looked at or widened since; "" if it is none.

    One that was narrowed from outside is DT406's affair.
    """
    node = unviewed(flow, flow.graph[ref.id], CASTS)
    dtype = flow.dtypes[node.id][0] if node.op == "buffer" and not node.reason.narrowed_from else ""
    return dtype if dtype in HALVES else ""


def _is_near(flow: Flow, cast: Node, narrow: str) -> bool:
    """Whether what is cast is a stored table that only meets positions which the dtype can tell apart."""
    if unviewed(flow, flow.graph[cast.operands()[0].id]).op != "buffer":
        return False
    met = [edge for edge in readers(flow, cast, CASTS) if base(flow.graph[edge.reader]) in MULTIPLIED]
    operands = [(edge.source, ref) for edge in met for ref in flow.graph[edge.reader].operands()]
    others = [flow.ranges.of(ref) for own, ref in operands if ref.id != own.id]
    return bool(others) and all(one is not None and one.most <= LIMITS[narrow].whole for one in others)


def _is_far(flow: Flow, ref: Ref, narrow: str) -> bool:
    """Whether an operand counts positions that the dtype cannot tell apart."""
    given = flow.ranges.of(ref)
    limits = LIMITS.get(narrow)
    return limits is not None and given is not None and given.whole and given.reached and given.most > limits.whole


def _slow(flow: Flow, wave: Node, narrow: str) -> bool:
    """Whether the angles are known to stay where 16 bits tell them apart."""
    angle = flow.ranges.of(wave.operands()[-1])
    return angle is not None and narrow in LIMITS and angle.most <= LIMITS[narrow].whole


def _limit(flow: Flow, node: Node) -> str:
    """How far the positions go, and what the dtype holds, where both are known."""
    narrow = flow.dtypes[node.id][0]
    reach = [one.most for ref in (*node.operands(), Ref(node.id)) if (one := flow.ranges.of(ref)) and one.whole]
    if narrow not in HALVES or not reach or max(reach) <= LIMITS[narrow].whole:
        return ""
    return f" (up to {max(reach):,.0f}; {short(narrow)} holds whole numbers up to {LIMITS[narrow].whole:,})"


def _is_half(flow: Flow, node: Node) -> bool:
    return any(dtype in HALVES for dtype in flow.dtypes[node.id])


def _narrows(flow: Flow, node: Node) -> bool:
    if node.op != CAST or node.inserted not in ("", "autocast"):
        return False
    source, target = flow.reads(node.id)[0], flow.dtypes[node.id][0]
    if is_float(target):
        return target in HALVES and source in ("float32", "float64", "int32", "int64")
    return is_float(source) and kind(target) == "int"


def _as_stored(flow: Flow, node_id: str) -> bool:
    """Whether the dtype was taken from a tensor that the model stores."""
    model = flow.graph.follows.get(Ref(node_id))
    return model is not None and flow.graph[model.id].op in ("parameter", "buffer")
