"""Whether the model's own code would catch an error that is about to be raised: read in the lines that are running."""

from __future__ import annotations

import ast
import builtins
import linecache
import sys
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from types import FrameType
from typing import Final

import torch

_TORCH: Final = str(Path(torch.__file__).parent)
_OURS: Final = str(Path(__file__).parents[2])
_DRIVES: Final = str(Path(__file__).parents[2] / "running")
"""What runs a model; beyond it nothing is the model's own."""


def caught(error: type[BaseException]) -> bool:
    """Whether a `try` or a `suppress` around a running line of the model takes such an error and goes on.

    A handler that ends in a `raise` of its own does not.
    """
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and not frame.f_code.co_filename.startswith(_DRIVES):
        if not frame.f_code.co_filename.startswith((_TORCH, _OURS)):
            taken = _taken(frame.f_code.co_filename, frame.f_lineno)
            if any(issubclass(error, kind) for name in taken for kind in _classes(frame, name)):
                return True
        frame = frame.f_back
    return False


@lru_cache(maxsize=256)
def _taken(file: str, line: int) -> tuple[str, ...]:
    """What is caught at a line, as the code writes it; "" is a bare `except`."""
    found: list[str] = []
    for node in ast.walk(_parsed(file)):
        if isinstance(node, ast.Try) and _covers(node.body, line):
            found += [
                ast.unparse(handler.type) if handler.type else ""
                for handler in node.handlers
                if not isinstance(handler.body[-1], ast.Raise)
            ]
        elif isinstance(node, ast.With) and _covers(node.body, line):
            found += [ast.unparse(arg) for item in node.items for arg in _suppressed(item.context_expr)]
    return tuple(found)


def _suppressed(expression: ast.expr) -> list[ast.expr]:
    called = isinstance(expression, ast.Call) and ast.unparse(expression.func).rpartition(".")[2] == "suppress"
    return expression.args if isinstance(expression, ast.Call) and called else []


def _covers(body: list[ast.stmt], line: int) -> bool:
    return body[0].lineno <= line <= (body[-1].end_lineno or 0)


@lru_cache(maxsize=32)
def _parsed(file: str) -> ast.AST:
    try:
        return ast.parse("".join(linecache.getlines(file)))
    except SyntaxError:
        return ast.Module([], [])


def _classes(frame: FrameType, text: str) -> Iterator[type[BaseException]]:
    """The classes that the expression of a handler names; nothing in it is run."""
    names = text.strip("()").split(",") if text else ["BaseException"]
    for name in filter(None, map(str.strip, names)):
        first, *rest = name.split(".")
        found = frame.f_locals.get(first, frame.f_globals.get(first, getattr(builtins, first, None)))
        for part in rest:
            found = vars(found).get(part) if hasattr(found, "__dict__") else None
        kinds = found if isinstance(found, tuple) else (found,)
        yield from (kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseException))
