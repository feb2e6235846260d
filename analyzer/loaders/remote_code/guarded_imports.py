"""Which missing package a name is for that a file makes only where it could import that package."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from traceback import walk_tb
from types import FrameType
from typing import Final

from analyzer.capture.refusals.conditions import parsed
from analyzer.running.traceback_frames import read

_NOTHING: Final = "None"
"""What is in the words of an error about None."""


def guarded_package(error: BaseException) -> str:
    """The missing package without which the failing file does not define a name, or leaves it None; "" for none."""
    frames = list(walk_tb(error.__traceback__))
    if not frames:
        return ""
    frame, line = frames[-1]
    missed = _missed(error, frame, line)
    for node in ast.walk(parsed(frame.f_code.co_filename)) if missed else ():
        if isinstance(node, (ast.If, ast.Try)) and missed & _given(node):
            packages = (name.split(".")[0] for name in _packages(node))
            found = next((one for one in packages if one not in sys.modules and find_spec(one) is None), "")
            if found:
                return found
    return ""


def _missed(error: BaseException, frame: FrameType, line: int) -> set[str]:
    """Names that the failing line lacks: one that is not defined, or global ones that are None."""
    if isinstance(error, NameError):
        return {str(error.name)}
    if isinstance(error, (AttributeError, TypeError)) and _NOTHING in str(error):
        return {name for name in read(frame, line) if name not in frame.f_locals and _is_none(frame, name)}
    return set()


def _is_none(frame: FrameType, name: str) -> bool:
    return frame.f_globals.get(name, 0) is None


def _given(block: ast.If | ast.Try) -> set[str]:
    """Names that a block gives a value to or imports, whichever way it goes."""
    handlers = [one for handler in getattr(block, "handlers", ()) for one in handler.body]
    nodes = [node for one in (*block.body, *block.orelse, *handlers) for node in ast.walk(one)]
    aliases = [one for node in nodes if isinstance(node, (ast.Import, ast.ImportFrom)) for one in node.names]
    stored = {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    made = {node.name for node in nodes if isinstance(node, (ast.FunctionDef, ast.ClassDef))}
    return stored | made | {(one.asname or one.name).split(".")[0] for one in aliases}


def _packages(block: ast.If | ast.Try) -> Iterator[str]:
    """Modules that a block imports by an absolute name."""
    for node in _nodes(block.body):
        if isinstance(node, ast.Import):
            yield from (one.name for one in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            yield node.module


def _nodes(body: Sequence[ast.stmt]) -> Iterator[ast.AST]:
    return (node for one in body for node in ast.walk(one))
