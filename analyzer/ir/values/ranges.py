"""Between which numbers the elements of a tensor lie, worked out from the numbers that stand in the code."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from analyzer.ir.blame.roles import base, valued
from analyzer.ir.dtypes import kind
from analyzer.ir.graph import CAST, UPDATED, Arg, ModelGraph, Node, Ref
from analyzer.ir.values.arithmetic import (
    BOTH,
    BOUNDED,
    FALLING,
    PAIRS,
    RISING,
    SWITCH,
    UNIT,
    ZERO,
    Range,
    Value,
    clamped,
    monotone,
    one_of,
    tight,
    times,
)

_SAME: Final = frozenset((
    "_reshape_alias", "_unsafe_index", "_unsafe_view", "alias", "amax", "amin", "as_strided", "chunk",
    "clone", "contiguous", "detach", "diagonal", "embedding", "expand", "flatten", "flip", "gather", "index",
    "index_select", "lift_fresh", "masked_select", "max", "max_pool2d", "median", "min", "movedim", "narrow",
    "permute", "repeat", "repeat_interleave", "reshape", "roll", "select", "slice", "sort", "split",
    "split_with_sizes", "squeeze", "swapaxes", "t", "take", "tile", "topk", "transpose", "unbind", "unflatten",
    "unfold", "unsqueeze", "upsample_nearest1d", "upsample_nearest2d",
    "view",
))  # fmt: skip
"""Operations that give values of their first operand."""
_BETWEEN: Final = frozenset(("adaptive_avg_pool2d", "avg_pool2d", "mean", "upsample_bilinear2d", "upsample_linear1d"))
"""Operations that give values between those of their first operand."""
_PARTS: Final = frozenset(("chunk", "split", "split_with_sizes", "unbind"))
"""Those of them whose outputs are all alike."""
_EITHER: Final[Mapping[str, tuple[int, ...]]] = {
    "cat": (0,), "constant_pad_nd": (0, 2), "copy": (1,), "fill": (1,), "index_copy": (0, 3), "index_fill": (0, 3),
    "index_put": (0, 2), "masked_fill": (0, 2), "masked_scatter": (0, 2), "scatter": (0, 3), "select_scatter": (0, 1),
    "slice_scatter": (0, 1), "stack": (0,), "where": (1, 2),
}  # fmt: skip
"""Operations whose values are those of one argument or the other; what is left out is zero."""
_GIVEN: Final[Mapping[str, int]] = {"full": 1, "full_like": 1, "new_full": 2, "scalar_tensor": 0}
"""Operations that make tensors of one number, and which argument it is."""
_MADE: Final[Mapping[str, Range]] = {
    "bernoulli": SWITCH, "eye": SWITCH, "new_ones": Range(1.0, 1.0, whole=True), "new_zeros": ZERO,
    "one_hot": SWITCH, "ones": Range(1.0, 1.0, whole=True), "ones_like": Range(1.0, 1.0, whole=True),
    "rand": UNIT, "rand_like": UNIT, "zeros": ZERO, "zeros_like": ZERO,
}  # fmt: skip
"""Operations whose values lie in a range whatever they are given."""
_KEEPING: Final = _SAME | {*_EITHER, *RISING, *FALLING, "cumsum", "tril", "triu"}
"""Operations that give the ends of what they are given, or what becomes of them."""
_DRAWN: Final = frozenset(("bernoulli", "rand", "rand_like"))
"""Those of them whose values are drawn."""
_NORMS: Final = frozenset(("linalg_vector_norm", "norm", "sum", "amax", "max"))
"""What a tensor of weights is divided by to lie between -1 and 1."""


@dataclass(frozen=True, slots=True)
class Ranges:
    """The ranges of a whole graph, worked out in one pass when the first is asked for."""

    graph: ModelGraph
    tokens: int = 0
    """The length of texts that were made up: a count of as many positions is a count of `longest`."""
    longest: int = 0
    _known: dict[str, Range | None] = field(default_factory=dict)

    def of(self, ref: Ref) -> Range | None:
        """Between which numbers an operand lies; None if the code does not say."""
        if not self._known:
            for node in self.graph:
                self._known[node.id] = self._range(node)
        return self._so_far(ref)

    def _so_far(self, ref: Ref) -> Range | None:
        """As `of`, for what stands above the node at hand."""
        if ref.index and base(self.graph[ref.id]) not in _PARTS:
            return None
        return self._known.get(ref.id)

    def _range(self, node: Node) -> Range | None:
        if not node.is_op:
            return _stored(node)
        if not node.outputs or node.refused or kind(node.dtype) == "complex":
            return None
        name = base(node)
        try:
            found = self._computed(node, name)
        except (ValueError, OverflowError, ZeroDivisionError, TypeError):  # such as the logarithm of what may be zero
            found = BOUNDED.get(name)
        if found is None and node.dtype == "bool":
            return SWITCH
        if found is None or math.isnan(found.low) or math.isnan(found.high):
            return None
        return replace(found, reached=self._reaches(node, name))

    def _reaches(self, node: Node, name: str) -> bool:
        """Whether the ends of a result are reached: those of all operands are, and not more than one has two ends."""
        if name in _MADE or name in _GIVEN or name in ("arange", "linspace"):
            return name not in _DRAWN
        given = [self._so_far(ref) for ref in valued(node)]
        if not all(one is not None and (one.reached or one.is_one) for one in given):
            return False
        several = sum(one is not None and not one.is_one for one in given) > 1
        return name in _KEEPING or node.op in (CAST, UPDATED) or (name in PAIRS and not several)

    def _computed(self, node: Node, name: str) -> Range | None:
        if name in _MADE:
            return _MADE[name]
        args = tuple([self._value(arg) for arg in node.args])
        if name in ("arange", "linspace"):
            return self._steps(node, name, args)
        if name in _GIVEN:
            return one_of(args[_GIVEN[name]])
        if node.op == UPDATED or name in _EITHER:
            places = (0, 1) if node.op == UPDATED else _EITHER[name]
            return _union([args[at] if at < len(args) else ZERO for at in places])
        if name in ("tril", "triu"):
            return _union([args[0], ZERO])
        return self._function(node, name, args, one_of(args[0]) if args else None)

    def _function(self, node: Node, name: str, args: Sequence[Value], first: Range | None) -> Range | None:
        if node.op == CAST:
            return _cast(node, first)
        if name in _SAME and not node.op.endswith((".other", ".dtype")):  # not `maximum`, nor other bits
            return first
        if name in _BETWEEN:
            return Range(first.low, first.high) if first else None
        if name in RISING or name in FALLING:
            return monotone(name, first)
        if name in BOUNDED:
            return tight(name, first) or BOUNDED[name]
        if name == "div" and self._normalises(node):
            return BOTH
        if name in ("clamp", "clamp_min", "clamp_max"):
            return clamped(name, first, args, node)
        if name in ("sum", "cumsum"):
            return times(first, Range(0.0, float(self._count(node, name)), whole=True), math.prod)
        return self._pair(node, name, first, one_of(args[1]) if len(args) > 1 else None)

    def _pair(self, node: Node, name: str, first: Range | None, second: Range | None) -> Range | None:
        if first is None or second is None:
            return None
        if name in ("mm", "bmm", "matmul", "mv", "dot"):
            inner = self.graph.spec(node.operands()[0]).shape[-1:]
            return times(times(first, second, math.prod), Range(1.0, float(math.prod(inner)), whole=True), math.prod)
        combine = PAIRS.get(name)
        return combine(first, second, node) if combine else None

    def _value(self, arg: Arg) -> Value:
        """What is known of an argument; of a list, what is known of each of its tensors."""
        return tuple([self._single(item) for item in arg]) if type(arg) is tuple else self._single(arg)

    def _single(self, arg: Arg) -> Range | None:
        if type(arg) is Ref:
            return self._so_far(arg)
        if type(arg) is int or type(arg) is float:
            return Range(float(arg), float(arg), float(arg).is_integer())
        return None

    def _steps(self, node: Node, name: str, args: Sequence[Value]) -> Range | None:
        """The numbers of `arange(end)`, `arange(start, end, step)` and `linspace(start, end, steps)`."""
        given = [one_of(arg) for arg in args]
        if any(one is None or not one.is_one for one in given):
            return None
        numbers = [one.low for one in given if one is not None]
        if name == "linspace":
            return Range(min(numbers[:2]), max(numbers[:2]))
        whole = all(number.is_integer() for number in numbers)
        start, end, step = (0.0, *numbers, 1.0)[:3] if len(numbers) == 1 else (*numbers, 1.0)[:3]
        if self._counts_tokens(start, end, step):
            start, end = (number * self.longest / self.tokens for number in (start, end))
        count = max(math.ceil((end - start) / step), 1)
        last = start + (count - 1) * step
        return Range(min(start, last), max(start, last), whole)

    def _counts_tokens(self, start: float, end: float, step: float) -> bool:
        """Whether an `arange` counts the tokens of a text that was made up, or the distances between them."""
        most = max(abs(start), abs(end))
        if self.longest <= self.tokens or not self.tokens or abs(step) != 1:
            return False
        return (
            end == self.tokens
            if start == 0
            else start * end <= 0 and most in (self.tokens - 1, self.tokens, 2.0 * self.tokens)
        )

    def _count(self, node: Node, name: str) -> int:
        before = self.graph.spec(node.operands()[0]).shape
        if name == "cumsum":
            dim = node.args[1]
            return before[dim] if before and type(dim) is int else 1
        return math.prod(before) // max(math.prod(node.outputs[0].shape), 1)

    def _normalises(self, node: Node) -> bool:
        """Whether a tensor is divided by its own sum or norm."""
        operands = node.operands()
        if len(operands) != 2:
            return False
        divisor = self.graph[operands[1].id]
        while divisor.is_op and divisor.operands() and base(divisor) not in _NORMS:
            if base(divisor) not in _SAME and base(divisor) not in ("add", "clamp", "clamp_min", "maximum"):
                return False
            divisor = self.graph[divisor.operands()[0].id]
        whole = divisor.is_op and bool(divisor.operands()) and divisor.operands()[0] == operands[0]
        first = self._so_far(operands[0])
        signed = base(divisor) in ("linalg_vector_norm", "norm")
        return whole and (signed or (first is not None and first.low >= 0))


def _stored(node: Node) -> Range | None:
    """The values of a constant or a buffer are known; those of an input are but an example, unless they are bools."""
    if node.dtype == "bool":
        return SWITCH
    if node.bounds is None or node.op not in ("constant", "buffer"):
        return None
    low, high = node.bounds
    return Range(low, high, kind(node.dtype) == "int" or (low == high and low.is_integer()), reached=True)


def _union(values: Sequence[Value]) -> Range | None:
    flat = [one for value in values for one in (value if isinstance(value, tuple) else (value,))]
    found: Range | None = None
    for one in flat:
        if not isinstance(one, Range):
            return None
        found = one if found is None else found.with_(one)
    return found


def _cast(node: Node, given: Range | None) -> Range | None:
    if node.dtype == "bool":
        return SWITCH
    if given is None or kind(node.dtype) != "int":
        return given
    return Range(float(math.trunc(given.low)), float(math.trunc(given.high)), whole=True)
