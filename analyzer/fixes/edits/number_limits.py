"""Proposals that put the limit of a tensor's dtype in the place of a number that the dtype does not hold."""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import torch

from analyzer.fixes.odd_operand import called
from analyzer.fixes.source_casts import Written, edited
from analyzer.fixes.source_file import Code, Insertion, Mixing, pure, read
from analyzer.ir import walk
from analyzer.ir.dtypes import is_float, short
from analyzer.ir.findings import Finding
from analyzer.ir.fixes.effects import Effect
from analyzer.ir.fixes.proposals import Edit, Proposal
from analyzer.ir.flow import Flow
from analyzer.ir.graph import Node

_NEAR: Final = 1e-6
_ARITHMETIC: Final[Mapping[type[ast.operator], Callable[[float, float], float]]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv,
    ast.Pow: operator.pow,
}  # fmt: skip
_DEEPEST: Final = 8
_LARGEST: Final = 1e300
"""No number is worked out beyond it."""
_MADE: Final = ("tensor", "new_tensor", "float", "full")
"""Calls that give the number that they are given, the last argument being it."""


def limits(flow: Flow, findings: Sequence[Finding], folder: Path) -> Iterator[Proposal]:
    """For each call that is refused for a number beyond its dtype, the lowest or largest number of that dtype.

    The same for a number that silently becomes infinite.
    """
    for finding in findings:
        for node in (flow.graph[node_id] for node_id in finding.nodes if not finding.tensors):
            if (found := beyond(flow, node)) is None:
                continue
            number, dtype = found
            for place in dict.fromkeys((node.place, *node.callers)):
                code = read(folder, place.file)
                insertions = _at(code, place.line, node, number, dtype) if code else ()
                edits = edited(folder, [Written(place, insertions)]) if insertions else ()
                if edits:
                    yield _proposal(number, dtype, f"at {place} in the source", edits)
                    break


def _proposal(number: float, dtype: str, where: str, edits: tuple[Edit, ...]) -> Proposal:
    which, name = ("lowest", "min") if number < 0 else ("largest", "max")
    limit = getattr(torch.finfo(getattr(torch, dtype)), name)
    what = f"write the {which} number of {short(dtype)} for {number:.4g} {where}"
    return Proposal("source", what, edits=edits, numbers=(Effect("number", f"{number:.4g}", f"{limit:.4g}"),))


def beyond(flow: Flow, node: Node) -> tuple[float, str] | None:
    """A finite number among the arguments of a call that the dtype of its result does not hold, and that dtype."""
    dtypes = [dtype for dtype in flow.dtypes[node.id] if is_float(dtype)]
    if not dtypes:
        return None
    largest = torch.finfo(getattr(torch, dtypes[0])).max
    values = walk.leaves((node.args, node.kwargs), object)
    numbers = [float(one) for one in values if isinstance(one, (int, float)) and not isinstance(one, bool)]
    return next(((one, dtypes[0]) for one in numbers if math.isfinite(one) and abs(one) > largest), None)


def _at(code: Code, line: int, node: Node, number: float, dtype: str) -> tuple[Insertion, ...]:
    """What writes the limit into the one call at a line that the number is given to."""
    one = called(code, line, node)
    if one is None or not code.imports("torch"):
        return ()
    given = [arg for arg in _arguments(one) if _is_number(code, line, arg, number)]
    if not given:  # of an attribute nothing is known but that the call has one number
        given = [arg for arg in _arguments(one)[-1:] if isinstance(arg, ast.Attribute)]
    if len(given) != 1:
        return ()
    limit = "min" if number < 0 else "max"
    return (code.replaced(given[0], f"torch.finfo({_own_dtype(code, one) or f'torch.{dtype}'}).{limit}"),)


def _own_dtype(code: Code, one: Mixing) -> str:
    """`scores.dtype` of `scores.masked_fill(...)` and `scores[mask] = ...`; "" where the tensor is not so plain."""
    owner: ast.expr | None = None
    if isinstance(one, ast.Call) and isinstance(one.func, ast.Attribute):
        owner = one.func.value
    elif isinstance(one, ast.Assign) and isinstance(one.targets[0], ast.Subscript):
        owner = one.targets[0].value
    if owner is None or not pure(owner) or code.imports(ast.unparse(owner).partition(".")[0]):
        return ""
    return f"{ast.unparse(owner)}.dtype"


def _arguments(one: Mixing) -> list[ast.expr]:
    if isinstance(one, ast.Call):
        return [*one.args, *(keyword.value for keyword in one.keywords)]
    if isinstance(one, ast.BinOp):
        return [one.left, one.right]
    return [one.value] if isinstance(one, (ast.Assign, ast.AugAssign)) else []


def _is_number(code: Code, line: int, arg: ast.expr, number: float) -> bool:
    value = _value(code, line, arg)
    return value is not None and math.isclose(value, number, rel_tol=_NEAR)


def _value(code: Code, line: int, one: ast.expr, depth: int = 0) -> float | None:
    """The number that an expression is, where that can be read in the file; else None."""
    if depth > _DEEPEST:
        return None
    if isinstance(one, ast.Constant):
        return float(one.value) if type(one.value) in (int, float) else None  # type: ignore[arg-type]
    if isinstance(one, (ast.UnaryOp, ast.BinOp)):
        return _worked_out(code, line, one, depth)
    if isinstance(one, ast.Attribute) and one.attr in ("min", "max") and isinstance(one.value, ast.Call):
        return _limit(one.value, one.attr)
    values = [_value(code, line, each, depth + 1) for each in _same(code, line, one)]
    return next((value for value in values if value is not None), None)


def _same(code: Code, line: int, one: ast.expr) -> Sequence[ast.expr]:
    """The expressions that a name, a choice, or a tensor of one number may be."""
    if isinstance(one, ast.Name):
        made = [each.value for each in code.assigned(one.id, line) or code.constants(one.id) if each.value]
        return made if len(made) == 1 else ()
    if isinstance(one, ast.IfExp):
        return (one.body, one.orelse)
    makes = isinstance(one, ast.Call) and ast.unparse(one.func).rpartition(".")[2] in _MADE
    return one.args[-1:] if makes and isinstance(one, ast.Call) else ()


def _worked_out(code: Code, line: int, one: ast.UnaryOp | ast.BinOp, depth: int) -> float | None:
    if isinstance(one, ast.UnaryOp):
        inner = _value(code, line, one.operand, depth + 1)
        return -inner if inner is not None and isinstance(one.op, ast.USub) else None
    left, right = (_value(code, line, side, depth + 1) for side in (one.left, one.right))
    if left is None or right is None or type(one.op) not in _ARITHMETIC:
        return None
    return _computed(type(one.op), left, right)


def _computed(kind: type[ast.operator], left: float, right: float) -> float | None:
    try:
        value = _ARITHMETIC[kind](left, right)
    except (OverflowError, ZeroDivisionError):
        return None
    return value if isinstance(value, float) and abs(value) < _LARGEST else None


def _limit(one: ast.Call, name: str) -> float | None:
    """`torch.finfo(torch.float32).min`, where it names the dtype."""
    dtype = getattr(torch, one.args[0].attr, None) if one.args and isinstance(one.args[0], ast.Attribute) else None
    finfo = isinstance(one.func, ast.Attribute) and one.func.attr == "finfo"
    return (
        float(getattr(torch.finfo(dtype), name))
        if finfo and isinstance(dtype, torch.dtype) and dtype.is_floating_point
        else None
    )
