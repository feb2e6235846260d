"""A number in the code is too large or too small for the dtype that it is computed in: it becomes infinite, or zero.

The lowest float32, which masks are often filled with, is minus infinity in float16 and bfloat16. A row that is
masked out whole then has a softmax of NaN, and minus infinity times zero is NaN too. It is told of numbers in the code,
of tensors of no dimension, of what is written by a mask, and of a mask that is made in float32 and cast.

    mask = input : f16[2,32]
    y = mul.Tensor(mask, -3.4028234663852886e+38) : f16[2,32]  @ attn  # DT204

    lowest = constant : f32[]  & -1e9,-1e9
    mask = input : f16[2,32]
    y = add.Tensor(mask, lowest) : f16[2,32]  @ attn  # DT204

    lowest = full([2,32], -3.4028234663852886e+38) : f32[2,32]  @ attn
    upper = triu(lowest, 1) : f32[2,32]  @ attn
    y = _to_copy(upper, dtype=f16) : f16[2,32]  @ attn  # DT204

The other end: `eps` of 1e-8 is zero in float16, so that nothing keeps a norm of zero from being divided by, and the
result is NaN.

    x = input : f16[2,32]
    norm = linalg_vector_norm(x, 2, [-1], True) : f16[2,1]
    safe = add.Tensor(norm, 1e-8) : f16[2,1]  # DT204
    y = div.Tensor(x, safe) : f16[2,32]

Take the number from the dtype at hand: `torch.finfo(x.dtype).min`, or `.tiny` for `eps`.

    mask = input : f16[2,32]
    y = mul.Tensor(mask, -65504.0) : f16[2,32]  @ attn
    norm = linalg_vector_norm(mask, 2, [-1], True) : f16[2,1]
    safe = clamp_min(norm, 6.103515625e-05) : f16[2,1]
    z = div.Tensor(mask, safe) : f16[2,32]

What only scales, and a number that is infinite as it stands in the code, is left alone.

    x = input : f16[2,32]
    y = mul.Tensor(x, 1e-9) : f16[2,32]
    mask = input : b1[2,32]
    z = masked_fill.Scalar(y, mask, -inf) : f16[2,32]
"""

from __future__ import annotations

from collections.abc import Iterator
from math import isfinite
from typing import TYPE_CHECKING, Final

from analyzer.ir.blame.roles import base
from analyzer.ir.dtypes import short
from analyzer.ir.graph import CAST, Arg, Node, Ref
from analyzer.ir.values.limits import LIMITS
from analyzer.rules import Hit
from analyzer.rules.regions import CASTS, VIEWS, readers, unviewed, yields

if TYPE_CHECKING:
    from analyzer.ir.flow import Flow

_WRITTEN: Final = frozenset((
    "add", "fill", "full", "full_like", "index_fill", "index_put", "masked_fill", "mul", "new_full", "rsub",
    "scalar_tensor", "scatter", "sub", "where",
))  # fmt: skip
"""Operations whose result has the number in it, or what is computed with it."""
_GUARDS: Final = frozenset(("add", "clamp", "clamp_min", "maximum"))
"""Operations that keep a tensor from being zero."""
_DIVIDED: Final = frozenset(("div", "log", "log10", "log2", "reciprocal", "rsqrt"))
"""Operations that cannot do with a zero; of a division, the divisor."""
_PICKED: Final = CASTS | {"gather", "index", "sum", "topk", "sort"}
"""How shares of a softmax are chosen and added up."""
_THROUGH: Final = VIEWS | {"sqrt"}


def check(flow: Flow) -> Iterator[Hit]:
    """Every written number that the result's dtype does not hold; refused calls are an error already."""
    for node in flow.graph.ops():
        gives = yields(flow, node)
        if node.phase or gives not in LIMITS or flow.refused(node.id):
            continue
        message = _overflow(flow, node, gives) or _underflow(flow, node, gives)
        if message:
            yield Hit(node.id, message, "warning", (str(node.place) or node.id, message))


def _overflow(flow: Flow, node: Node, gives: str) -> str:
    """What becomes infinite, in words; "" if nothing does."""
    if base(node) not in _WRITTEN and node.op != CAST:
        return ""
    found = flow.ranges.of(Ref(node.id)) if node.op != CAST else None
    number = max(_numbers(flow, node), key=abs, default=0.0)
    if abs(number) < LIMITS[gives].overflow or (found is not None and found.most < LIMITS[gives].overflow):
        return ""
    return f"{number:.4g} is out of range for {short(gives)} and becomes {'-' if number < 0 else ''}inf"


def _underflow(flow: Flow, node: Node, gives: str) -> str:
    """What becomes zero although it is to keep something from being zero, in words; "" if nothing does."""
    if base(node) not in _GUARDS:
        return ""
    number = min((abs(number) for number in _numbers(flow, node) if number), default=1.0)
    if number > LIMITS[gives].underflow or any(_is_above_zero(flow, ref, gives) for ref in node.operands()):
        return ""
    reader = _divides(flow, node)
    return f"{number:.4g} is 0 in {short(gives)}, so {reader} may get a zero" if reader else ""


def _numbers(flow: Flow, node: Node) -> Iterator[float]:
    """The numbers that stand in a call, as far as they are finite: those of tensors too that are known to hold but one.

    Of a cast, the ends of what it is given, where they are reached.
    """
    named = (value for key, value in node.kwargs if key in ("other", "value", "fill_value", "min"))
    for arg in (*node.args, *named):
        if type(arg) in (int, float) and isfinite(arg):  # type: ignore[arg-type]
            yield float(arg)  # type: ignore[arg-type]
    for ref in node.operands():
        given = flow.ranges.of(ref)
        if given is not None and (given.is_one or (node.op == CAST and given.reached)) and isfinite(given.most):
            yield given.low if abs(given.low) == given.most else given.high


def _is_above_zero(flow: Flow, ref: Ref, gives: str) -> bool:
    """Whether a value needs no guard: it is known to be large enough, or a sum of shares of a softmax."""
    given = flow.ranges.of(ref)
    if given is not None and given.low > LIMITS[gives].underflow:
        return not given.is_one  # which is the guard itself
    node = flow.graph[ref.id]
    if base(node) != "sum":
        return False
    return base(unviewed(flow, node, _PICKED)) in ("_softmax", "softmax")


def _is_negative(exponent: Arg) -> bool:
    return isinstance(exponent, (int, float)) and exponent < 0


def _divides(flow: Flow, node: Node) -> str:
    """The operation that divides by a result, or takes its logarithm; "" if none does."""
    for edge in readers(flow, node, _THROUGH):
        reader = flow.graph[edge.reader]
        name = base(reader)
        if name in _DIVIDED and (name != "div" or edge.position == 1):
            return name
        if name == "pow" and _is_negative(reader.args[-1]):
            return name
    return ""
