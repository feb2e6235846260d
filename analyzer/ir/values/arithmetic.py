"""Arithmetic with ranges: what a function, or an operation on two tensors, makes of the numbers that go in."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias, Union

from analyzer.ir.blame.roles import base
from analyzer.ir.graph import Node

_INF: Final = math.inf


@dataclass(frozen=True, slots=True)
class Range:
    """All values lie from `low` to `high`, both included; `whole` says that none has a fraction."""

    low: float
    high: float
    whole: bool = False
    reached: bool = field(default=False, compare=False)
    """Whether some element is known to have the least value, and some the greatest: else they may be less far off."""

    @property
    def most(self) -> float:
        """The greatest magnitude."""
        return max(abs(self.low), abs(self.high))

    @property
    def is_one(self) -> bool:
        """Whether it is a single number."""
        return self.low == self.high

    def with_(self, other: Range) -> Range:
        """The range that holds both."""
        return Range(min(self.low, other.low), max(self.high, other.high), self.whole and other.whole)


Value: TypeAlias = Union["Range", "tuple[Range | None, ...]", None]
"""What is known of an argument: a range, those of a list, or nothing."""
ZERO: Final = Range(0.0, 0.0, whole=True)
UNIT, BOTH, SWITCH, COUNT = Range(0.0, 1.0), Range(-1.0, 1.0), Range(0.0, 1.0, whole=True), Range(0.0, _INF)
_SIGN: Final = Range(-1.0, 1.0, whole=True)

BOUNDED: Final[Mapping[str, Range]] = {
    "_log_softmax": Range(-_INF, 0.0), "_safe_softmax": UNIT, "_softmax": UNIT, "abs": COUNT, "cos": BOTH,
    "cosine_similarity": BOTH, "erf": BOTH, "exp": COUNT, "hardsigmoid": UNIT,
    "linalg_vector_norm": COUNT, "log_softmax": Range(-_INF, 0.0), "norm": COUNT, "relu": COUNT, "rsqrt": COUNT,
    "sigmoid": UNIT, "sign": _SIGN, "sin": BOTH, "softmax": UNIT, "softplus": COUNT, "sqrt": COUNT,
    "square": COUNT, "std": COUNT, "tanh": BOTH, "var": COUNT,
}  # fmt: skip
"""As `_MADE`, where nothing is known of the operand."""
RISING: Final[Mapping[str, Callable[[float], float]]] = {
    "atan": math.atan, "ceil": math.ceil, "deg2rad": math.radians, "erf": math.erf, "exp": math.exp,
    "expm1": math.expm1, "floor": math.floor, "log": math.log, "log1p": math.log1p, "log2": math.log2,
    "relu": lambda x: max(x, 0.0), "round": round, "sigmoid": lambda x: 1 / (1 + math.exp(-x)), "sqrt": math.sqrt,
    "tanh": math.tanh, "trunc": math.trunc,
}  # fmt: skip
FALLING: Final[Mapping[str, Callable[[float], float]]] = {"neg": lambda x: -x, "rsqrt": lambda x: x**-0.5}
"""Functions of one number that fall with it; those above rise."""
_OPEN: Final = (("min", -_INF), ("max", _INF))
"""The ends of a clamp that has none."""
_ROUNDING: Final = frozenset(("ceil", "floor", "round", "trunc"))


def one_of(value: Value) -> Range | None:
    """The range of an argument that is one tensor or number."""
    return value if isinstance(value, Range) else None


def monotone(name: str, given: Range | None) -> Range | None:
    """What a function that rises or falls makes of a range."""
    if given is None:
        return BOUNDED.get(name)
    if name in FALLING:
        return Range(FALLING[name](given.high), FALLING[name](given.low), name == "neg" and given.whole)
    function = RISING[name]
    whole_ = name in _ROUNDING or (name == "relu" and given.whole)
    return Range(float(function(given.low)), float(function(given.high)), whole_)


def tight(name: str, given: Range | None) -> Range | None:
    """A narrower range of a function that neither rises nor falls, where the operand's is known."""
    if given is None:
        return None
    low, high = min(abs(given.low), abs(given.high)), given.most
    low = 0.0 if given.low <= 0 <= given.high else low
    if name == "abs":
        return Range(low, high, given.whole)
    return Range(low * low, high * high, given.whole) if name == "square" else None


def clamped(name: str, given: Range | None, args: Sequence[Value], node: Node) -> Range | None:
    """What is left of a range between the ends that a clamp names."""
    places = {"clamp": ("min", "max"), "clamp_min": ("min",), "clamp_max": ("max",)}[name]
    ends = dict(zip(places, map(one_of, args[1:]), strict=False))
    named = {key: float(value) for key, value in node.kwargs if type(value) in (int, float)}  # type: ignore[arg-type]
    low, high = (end.low if (end := ends.get(key)) else named.get(key, other) for key, other in _OPEN)
    inner = given or Range(-_INF, _INF)
    if given is None and (low == -_INF or high == _INF):
        return None
    return Range(
        min(max(inner.low, low), high),
        max(min(inner.high, high), low),
        inner.whole and all(_is_whole(end) for end in (low, high)),
    )


def _is_whole(end: float) -> bool:
    return math.isinf(end) or end.is_integer()


def times(one: Range | None, other: Range | None, product: Callable[[tuple[float, float]], float]) -> Range | None:
    """The range of all products, or quotients; None where that has no limit."""
    if one is None or other is None:
        return None
    ends = [product((a, b)) for a in (one.low, one.high) for b in (other.low, other.high)]
    if any(map(math.isnan, ends)):  # zero times what has no limit
        return None
    return Range(min(ends), max(ends), one.whole and other.whole)


def _add(one: Range, other: Range, node: Node) -> Range:
    alpha = _factor(node)
    ends = sorted((other.low * alpha, other.high * alpha))
    return Range(one.low + ends[0], one.high + ends[1], one.whole and other.whole and alpha.is_integer())


def _factor(node: Node) -> float:
    alpha = dict(node.kwargs).get("alpha", 1)
    return float(alpha) if type(alpha) in (int, float) else math.nan  # type: ignore[arg-type]


def _less(one: Range, other: Range, node: Node) -> Range:
    return _add(one, Range(-other.high, -other.low, other.whole), node)


def _divided(one: Range, other: Range, node: Node) -> Range | None:
    if other.low <= 0 <= other.high:
        return None
    found = times(one, other, lambda pair: pair[0] / pair[1])
    rounded = base(node) == "floor_divide" or dict(node.kwargs).get("rounding_mode") is not None
    if found is None:
        return None
    return Range(math.floor(found.low), math.ceil(found.high), whole=True) if rounded else Range(found.low, found.high)


def _power(one: Range, other: Range, _: Node) -> Range | None:
    if one.low < 0:
        even = other.is_one and other.low > 0 and other.low % 2 == 0
        return Range(0.0, one.most**other.low, one.whole) if even else None
    ends = [a**b for a in (one.low, one.high) for b in (other.low, other.high)]
    return Range(min(ends), max(ends), one.whole and other.whole and other.low >= 0)


def _rest(one: Range, other: Range, _: Node) -> Range | None:
    return Range(0.0, other.high, one.whole and other.whole) if other.low > 0 else None


PAIRS: Final[Mapping[str, Callable[[Range, Range, Node], Range | None]]] = {
    "add": _add,
    "div": _divided,
    "floor_divide": _divided,
    "maximum": lambda a, b, _: Range(max(a.low, b.low), max(a.high, b.high), a.whole and b.whole),
    "minimum": lambda a, b, _: Range(min(a.low, b.low), min(a.high, b.high), a.whole and b.whole),
    "mul": lambda a, b, _: times(a, b, math.prod),
    "outer": lambda a, b, _: times(a, b, math.prod),
    "pow": _power,
    "remainder": _rest,
    "rsub": lambda a, b, node: _less(b, a, node),
    "sub": _less,
}
"""Operations on two tensors, or on one and a number."""
