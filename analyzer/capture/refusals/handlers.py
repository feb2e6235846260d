"""Whether the code that made a call catches the error that came out of it, so that a real run goes on."""

from __future__ import annotations

import ast
import builtins
import os
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path
from types import CodeType, FrameType
from typing import Final

from analyzer.capture.refusals.conditions import around

_OURS: Final = str(Path(__file__).parents[2]) + os.sep


def caught(error: BaseException, frame: FrameType | None, until: CodeType | None) -> bool:
    """Whether a running frame, or one that called it, catches an error and does not raise it again as it is.

    Frames of this package do not count, nor those from `until` on, which runs the model.
    """
    return any(handler is None or not _raises_again(handler) for handler in _taking(error, frame, until))


def survived(error: BaseException, frame: FrameType | None, until: CodeType | None) -> bool:
    """Whether a frame catches an error and goes on: one that ends in a `raise`, also of another error, does not."""
    return any(
        handler is None or not (_raises_again(handler) or isinstance(handler.body[-1], ast.Raise))
        for handler in _taking(error, frame, until)
    )


def _taking(
    error: BaseException, frame: FrameType | None, until: CodeType | None
) -> Iterator[ast.ExceptHandler | None]:
    """The first handler of each frame that takes an error, from the inside; None for `suppress`."""
    while frame is not None and frame.f_code is not until:
        taking = (handler for types, handler in _handlers(frame) if _takes(types, error, frame))
        yield from islice(taking, 1)
        frame = frame.f_back


def _handlers(frame: FrameType) -> Iterator[tuple[ast.expr | None, ast.ExceptHandler | None]]:
    """What a frame would catch at its line, the innermost first, and with which code; none for `suppress`."""
    if frame.f_code.co_filename.startswith(_OURS):
        return
    for node in around(frame.f_code.co_filename, frame.f_lineno):
        if isinstance(node, ast.Try):
            yield from ((handler.type, handler) for handler in node.handlers)
        elif isinstance(node, ast.With):
            for call in (item.context_expr for item in node.items):
                if isinstance(call, ast.Call) and ast.unparse(call.func).endswith("suppress"):
                    yield from ((one, None) for one in call.args)


def _takes(types: ast.expr | None, error: BaseException, frame: FrameType) -> bool:
    if types is None:
        return True
    named = types.elts if isinstance(types, ast.Tuple) else [types]
    kinds = (_class(one, frame) for one in named)
    return any(isinstance(kind, type | tuple) and isinstance(error, kind) for kind in kinds)


def _class(expr: ast.expr, frame: FrameType) -> object:
    if isinstance(expr, ast.Name):
        return frame.f_locals.get(expr.id, frame.f_globals.get(expr.id, getattr(builtins, expr.id, None)))
    with suppress(Exception):  # whatever a property of a model may raise
        return getattr(_class(expr.value, frame), expr.attr, None) if isinstance(expr, ast.Attribute) else None
    return None


def _raises_again(handler: ast.ExceptHandler) -> bool:
    """Whether code that caught an error raises it as it is, and not another in its place."""
    for node in ast.walk(handler):
        if isinstance(node, ast.Raise) and node.cause is None:
            again = node.exc is None or (isinstance(node.exc, ast.Name) and node.exc.id == handler.name)
            if again:
                return True
    return False
