"""Whether an error was raised by Python code that had looked at a dtype, and at which tensors it looked."""

from __future__ import annotations

import ast
import linecache
from collections.abc import Iterator
from types import FrameType, TracebackType
from typing import Final

import torch

_READS: Final = frozenset({"dtype", "is_floating_point", "is_complex", "element_size", "itemsize"})
"""Attributes, methods and functions that tell a tensor's dtype."""


_LIMITS: Final = frozenset({"iinfo", "finfo"})
"""Functions of torch that take dtypes of one kind alone."""


def looked_at(error: BaseException) -> tuple[torch.Tensor, ...] | None:
    """The tensors whose dtype the code tested before it raised; None if it raised for another reason.

    The test is that of the `if` around the innermost `raise`, or of the `assert`; an error that names a dtype in its
    own words, and `torch.iinfo` or `torch.finfo` of a dtype, count as well. A tensor that is no plain name, such as
    one of a list, is left out.
    """
    where = _innermost(error.__traceback__)
    tests = _tests(where[0], where[1]) if where else []
    read = [expr for test in tests for expr in _read(test)]
    if where is None or not read:
        return None
    found = [_value(expr, where[0]) for expr in read]
    return tuple({id(one): one for one in found if isinstance(one, torch.Tensor)}.values())


def _innermost(trace: TracebackType | None) -> tuple[FrameType, int] | None:
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return (trace.tb_frame, trace.tb_lineno) if trace is not None else None


def _tests(frame: FrameType, line: int) -> list[ast.expr]:
    """The conditions under which the code at a line raises, the nearest first; none where it does not."""
    source = "".join(linecache.getlines(frame.f_code.co_filename, frame.f_globals))
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return []
    return next(_under(tree, line, []), [])


def _under(node: ast.AST, line: int, tests: list[ast.expr]) -> Iterator[list[ast.expr]]:
    for child in ast.iter_child_nodes(node):
        first, last = getattr(child, "lineno", line), getattr(child, "end_lineno", line) or line
        if not first <= line <= last:
            continue
        if isinstance(child, ast.Assert):
            yield [child.test, *tests]
        elif isinstance(child, ast.Raise):
            yield [*([child.exc] if child.exc else []), *tests]
        elif isinstance(child, ast.Call) and isinstance(child.func, ast.Attribute) and child.func.attr in _LIMITS:
            yield child.args
        elif isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            yield from _under(child, line, [])
        elif isinstance(child, ast.If):
            yield from _under(child, line, [child.test, *tests])
        else:
            yield from _under(child, line, tests)


def _read(test: ast.expr) -> Iterator[ast.expr]:
    """What a condition reads the dtype of."""
    for node in ast.walk(test):
        if isinstance(node, ast.Attribute) and node.attr in _READS:
            yield node.value
        elif isinstance(node, ast.Name) and "dtype" in node.id:
            yield node
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in _READS:
            yield from node.args[:1]


def _value(expr: ast.expr, frame: FrameType) -> object:
    """What a name, or attributes of one, stands for in a frame; None where it is anything else."""
    if isinstance(expr, ast.Name):
        return frame.f_locals.get(expr.id, frame.f_globals.get(expr.id))
    if isinstance(expr, ast.Attribute):
        return getattr(_value(expr.value, frame), expr.attr, None)
    return None
