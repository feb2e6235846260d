"""Tells whether the lines of a script only make tensors and call functions of torch: people run what a report holds."""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import Final

FORGED: Final = "its lines do more than to call functions of torch on made-up tensors"
_OPERATION: Final = re.compile(r"torch\.ops\.aten\.\w+\.\w+", re.ASCII)
_FILES: Final = ("torch.ops.aten.save.", "torch.ops.aten.from_file.", "torch.ops.aten._from_blob.")
"""Operations that write a file, read one, or any memory."""
_VALUE: Final = re.compile(
    r"torch\.(bool|(u?int|b?float|complex|qu?int|bits)\w*|strided|sparse_\w+|jagged|_mkldnn|contiguous_format"
    r"|preserve_format|channels_last(_3d)?)",
    re.ASCII,
)
"""A dtype, a layout, a memory format."""
_NAME: Final = re.compile(r"x\d+", re.ASCII)
_LITERALS: Final = (bool, int, float, complex, str, type(None), type(Ellipsis))


def refused(lines: Sequence[str]) -> str:
    """Why lines are no script that anyone should run; "" if they are what a trace writes."""
    if not all(line.isprintable() for line in lines):
        return FORGED
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            body = ast.parse("\n".join(lines)).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return FORGED
    made: set[str] = set()
    return "" if all(_is_line(statement, made) for statement in body) else FORGED


@cache
def functions() -> frozenset[str]:
    """The functions of torch that can be refused, by the names under which a script calls them."""
    return frozenset(files(__package__).joinpath("torch_functions.txt").read_text(encoding="utf-8").split())


def _is_line(statement: ast.stmt, made: set[str]) -> bool:
    """Whether a statement is a value, or gives one a name, which is added to those that are `made`."""
    match statement:
        case ast.Expr():
            return _is_value(statement.value, made)
        case ast.Assign(targets=[ast.Name(id=name)]) if _NAME.fullmatch(name):
            fits = _is_value(statement.value, made)
            made.add(name)
            return fits
    return False


def _is_value(node: ast.expr, made: set[str]) -> bool:
    """Whether an expression is a literal, a tensor that was made above, or a call of torch with such arguments."""
    match node:
        case ast.Constant():
            return type(node.value) in _LITERALS
        case ast.Name():
            return node.id in made or node.id == "Ellipsis"
        case ast.Attribute():
            return bool(_VALUE.fullmatch(_dotted(node)))
        case ast.Tuple() | ast.List():
            return all(_is_value(item, made) for item in node.elts)
        case ast.UnaryOp(op=ast.USub()):
            return _is_number(node.operand)
        case ast.BinOp(op=ast.Add() | ast.Sub()):  # a complex number
            return _is_number(node.left) and _is_number(node.right)
        case ast.Call():
            arguments = [*node.args, *(one.value for one in node.keywords)]
            named = all(one.arg for one in node.keywords)  # not `**`
            return named and _is_called(node) and all(_is_value(one, made) for one in arguments)
    return False


def _is_number(node: ast.expr) -> bool:
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        node = node.operand
    return isinstance(node, ast.Constant) and type(node.value) in (int, float, complex)


def _is_called(call: ast.Call) -> bool:
    name = _dotted(call.func)
    if name in ("float", "slice", "torch.device"):
        return True
    operation = _OPERATION.fullmatch(name) and not name.startswith(_FILES)
    return name in functions() or bool(operation)


def _dotted(node: ast.expr) -> str:
    """`torch.nn.functional.linear` of such an expression; "" of any other."""
    parts = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    return ".".join([node.id, *reversed(parts)]) if isinstance(node, ast.Name) else ""
