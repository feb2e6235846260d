"""The grammar of sizes in a saved program: sums and products of symbols, which sympy would otherwise run as Python."""

from __future__ import annotations

import ast
import re
from typing import Final

from analyzer.loaders.exported.refused import Refused, short

_LONGEST: Final = 20_000
"""Characters of one expression."""
_LARGEST: Final = 1 << 64
"""Numbers of sizes and bounds lie below."""
_POWER: Final = 64
"""The largest exponent: a size is no power of powers."""
_WIDEST: Final = 64
"""Arguments of one function: sympy compares each of Max with each."""
_PRECISION: Final = 200
"""Bits of a Float."""
_SYMBOL: Final = re.compile(r"[A-Za-z]{1,4}\d{1,9}(_\d{1,9})?")
"""s77, u0, zuf3: what torch calls its symbols (torch.utils._sympy.symbol.prefix_str)."""
_CONSTANTS: Final = frozenset({"oo", "int_oo", "zoo", "true", "false", "nan"})
_FUNCTIONS: Final = frozenset({
    # sympy's own, as `srepr` and `str` write them
    "Symbol", "Integer", "Float", "Rational", "Add", "Mul", "Pow", "Max", "Min", "Abs", "Mod", "floor", "ceiling",
    "Eq", "Ne", "Lt", "Le", "Gt", "Ge", "Equality", "Unequality", "LessThan", "StrictLessThan", "GreaterThan",
    "StrictGreaterThan", "And", "Or", "Not", "Xor", "ITE", "Piecewise", "ExprCondPair", "Tuple", "sqrt", "sign",
    "Infinity", "NegativeInfinity", "IntInfinity", "NegativeIntInfinity", "Half", "One", "Zero", "NegativeOne",
    "BooleanTrue", "BooleanFalse",
    # torch.utils._sympy.functions
    "FloorDiv", "ModularIndexing", "Where", "PythonMod", "CleanDiv", "CeilToInt", "FloorToInt", "CeilDiv", "LShift",
    "RShift", "PowByNatural", "FloatPow", "FloatTrueDiv", "IntTrueDiv", "IsNonOverlappingAndDenseIndicator",
    "TruncToFloat", "TruncToInt", "RoundToInt", "RoundDecimal", "ToFloat", "Identity", "BitwiseFn_bitwise_and",
    "BitwiseFn_bitwise_or", "BitwiseFn_bitwise_xor",
    *(f"OpaqueUnaryFn_{name}" for name in ("sqrt", "cos", "cosh", "sin", "sinh", "tan", "tanh", "asin", "acos", "atan",
                                          "exp", "log", "asinh", "log2")),
})  # fmt: skip
_POWERS: Final = frozenset({"Pow", "PowByNatural", "FloatPow", "LShift"})
_ASSUMPTIONS: Final = frozenset(
    {"integer", "positive", "negative", "nonnegative", "nonpositive", "nonzero", "real", "finite", "precision",
     "evaluate"}
)  # fmt: skip
_PLAIN: Final = (
    ast.Expression, ast.Load, ast.UnaryOp, ast.USub, ast.UAdd, ast.Not, ast.Invert, ast.BinOp, ast.Add, ast.Sub,
    ast.Mult, ast.Div, ast.FloorDiv, ast.Mod, ast.Pow, ast.BitAnd, ast.BitOr, ast.Compare, ast.Eq, ast.NotEq, ast.Lt,
    ast.LtE, ast.Gt, ast.GtE, ast.BoolOp, ast.And, ast.Or, ast.Tuple,
)  # fmt: skip
"""What may stand in an expression with whatever lies below it."""


def check_expression(text: str) -> None:
    """Raises Refused for what is no expression of sizes; `sympy.sympify` evaluates whatever it is given."""
    wrong = Refused(f"the expression {short(text)!r}")
    if len(text) > _LONGEST or not text.isascii() or not text.isprintable():
        raise wrong
    try:
        tree = ast.parse(text, mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise wrong from error
    names = {id(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    if not all(_allowed(node, id(node) in names) for node in ast.walk(tree)):
        raise wrong


def is_symbol(text: str) -> bool:
    """Whether torch names a size so."""
    return _SYMBOL.fullmatch(text) is not None


def _allowed(node: ast.AST, called: bool) -> bool:
    match node:
        case ast.Name(id=name):
            return name in _FUNCTIONS if called else name in _CONSTANTS or is_symbol(name)
        case ast.Call(func=ast.Name(id=name), args=arguments):
            return len(arguments) <= _WIDEST and (
                name not in _POWERS or (len(arguments) == 2 and _is_power(*arguments))
            )
        case ast.BinOp(left=left, op=ast.Pow(), right=right):
            return _is_power(left, right)
        case ast.keyword(arg=name, value=ast.Constant(value=bool() | int() as value)):
            return name in _ASSUMPTIONS and value <= _PRECISION
        case ast.Constant(value=bool() | float() | None):
            return True
        case ast.Constant(value=int(value)):
            return abs(value) <= _LARGEST
        case ast.Constant(value=str(value)):
            return is_symbol(value) or _is_number(value)
    return isinstance(node, _PLAIN)


def _is_power(base: ast.expr, exponent: ast.expr) -> bool:
    """Whether it is small: the exponent is a symbol or a small number, and no power of a power."""
    numbers = [abs(n.value) for n in ast.walk(exponent) if isinstance(n, ast.Constant) and isinstance(n.value, int)]
    inside = [n for part in (base, exponent) for n in ast.walk(part)]
    nested = any(isinstance(n, ast.Pow) or (isinstance(n, ast.Name) and n.id in _POWERS) for n in inside)
    return not nested and all(number <= _POWER for number in numbers)


def _is_number(text: str) -> bool:
    return re.fullmatch(r"-?\d{1,40}(\.\d{1,40})?(e[+-]?\d{1,3})?", text) is not None
