"""Reads from source which imports code can do without: those that it guards with `try`, `suppress` or a question."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from typing import Final

_CAUGHT: Final = frozenset({"ImportError", "ModuleNotFoundError", "Exception", "BaseException"})
"""Exceptions whose handlers a missing package reaches."""
_ENDS: Final = frozenset({"exit", "_exit", "quit"})
"""Functions that end the process."""
_QUESTIONS: Final = ("available", "find_spec", "has_", "have_", "_found", "type_checking", "is_installed", "__name__")
"""Parts of names by which code asks whether a package, or a use of the file, is there."""
_SCOPES: Final = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)


def goes_on(node: ast.Try) -> bool:
    """Whether a `try` goes on after a package in it was missing: a handler catches that and does not raise again."""
    for handler in node.handlers:
        if handler.type is None or _names(handler.type) & _CAUGHT:
            return not _ends(handler.body)
    return False


def suppresses(node: ast.With | ast.AsyncWith) -> bool:
    """Whether a `with` suppresses the error of a missing package."""
    calls = [item.context_expr for item in node.items if isinstance(item.context_expr, ast.Call)]
    return any(_names(call.func) & {"suppress"} and any(_names(arg) & _CAUGHT for arg in call.args) for call in calls)


def asks(test: ast.expr) -> bool:
    """Whether the test of an `if` asks if a package is there, or if the file is run or only checked for types."""
    return any(question in name.lower() for name in _names(test) for question in _QUESTIONS)


def is_guarded(tree: ast.AST, line: int) -> bool:
    """Whether the statement at a line stands, in its own function, under a `try` or `with` that goes on without it."""
    found = False
    for node in _path(tree, line):
        if isinstance(node, _SCOPES):
            found = False
        elif isinstance(node, ast.Try):
            found = found or (goes_on(node) and _within(node.body, line))
        elif isinstance(node, (ast.With, ast.AsyncWith)):
            found = found or (suppresses(node) and _within(node.body, line))
    return found


def _path(node: ast.AST, line: int) -> Iterator[ast.AST]:
    """The nodes around a line, from the outside in."""
    waiting = list(ast.iter_child_nodes(node))[::-1]
    while waiting:  # not by calling itself: a long chain of elif is as deep
        child = waiting.pop()
        first, last = getattr(child, "lineno", line), getattr(child, "end_lineno", None)
        if first <= line <= (last if last is not None else line):
            yield child
            waiting += list(ast.iter_child_nodes(child))[::-1]


def _within(body: Sequence[ast.stmt], line: int) -> bool:
    return body[0].lineno <= line <= (body[-1].end_lineno or line)


def _ends(body: Sequence[ast.stmt]) -> bool:
    last = body[-1]
    if isinstance(last, ast.Expr) and isinstance(last.value, ast.Call):
        return bool(_names(last.value.func) & _ENDS)
    return isinstance(last, ast.Raise)


def _names(node: ast.AST) -> set[str]:
    """Every name and attribute in an expression."""
    found = {child.id for child in ast.walk(node) if isinstance(child, ast.Name)}
    return found | {child.attr for child in ast.walk(node) if isinstance(child, ast.Attribute)}
