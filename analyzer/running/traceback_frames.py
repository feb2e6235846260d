"""Reads the frames that an error came through: what its source lines name, and which inputs it came through."""

from __future__ import annotations

import ast
import linecache
import textwrap
from collections.abc import Iterable
from types import FrameType

from analyzer.capture.refusals.conditions import parsed

_LONGEST = 40
"""Source lines of one statement that are looked at, at most."""


def frames(error: BaseException) -> list[tuple[FrameType, int]]:
    """Each frame with the line that it was at, the innermost last."""
    found, trace = [], error.__traceback__
    while trace is not None:
        found.append((trace.tb_frame, trace.tb_lineno))
        trace = trace.tb_next
    return found


def read(frame: FrameType, line: int) -> list[str]:
    """Names whose value the statement that begins at a source line reads."""
    tree = statement(frame, line)
    return [n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)] if tree else []


def assigned(frame: FrameType, line: int) -> list[str]:
    """Names that the statement at a source line was to give a value."""
    tree = statement(frame, line)
    return [n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)] if tree else []


def suspects(error: BaseException, names: Iterable[str]) -> list[str]:
    """The names, those first that the innermost statements read."""
    depth: dict[str, int] = {}
    for number, (frame, line) in enumerate(frames(error)):
        depth |= dict.fromkeys(read(frame, line), number)
    return sorted(names, key=lambda name: -depth.get(name, -1))


def guards(frame: FrameType, line: int) -> list[str]:
    """Names in the tests of the `if`s that a source line stands under, innermost first."""
    tests: list[ast.expr] = []
    for node in ast.walk(parsed(frame.f_code.co_filename)):
        if isinstance(node, ast.If) and node.lineno <= line <= (node.end_lineno or 0):
            tests.append(node.test)
    tests.sort(key=lambda test: -test.lineno)
    return [n.id for test in tests for n in ast.walk(test) if isinstance(n, ast.Name)]


def decided_by(frame: FrameType, line: int) -> list[str]:
    """Names that a line reads; of a `raise` also those in the tests that it stands under."""
    raises = linecache.getline(frame.f_code.co_filename, line).lstrip().startswith("raise")
    return [*read(frame, line), *(guards(frame, line) if raises else [])]


def givers(frame: FrameType, name: str) -> list[str]:
    """Names in the tests of the `if`s under which a frame's code gives a value to a name."""
    found: list[str] = []
    first, code = frame.f_code.co_firstlineno, frame.f_code
    for node in ast.walk(parsed(code.co_filename)):
        if (
            isinstance(node, ast.FunctionDef)
            and node.name == code.co_name
            and node.lineno >= first <= node.body[0].lineno
        ):
            ifs = [one for one in ast.walk(node) if isinstance(one, ast.If) and name in _stored(one.body)]
            found = found or [n.id for one in ifs for n in ast.walk(one.test) if isinstance(n, ast.Name)]
    return [other for other in found if other != name]


def _stored(body: list[ast.stmt]) -> list[str]:
    nodes = (node for one in body for node in ast.walk(one))
    return [n.id for n in nodes if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)]


def statement(frame: FrameType, line: int) -> ast.AST | None:
    """The statement that begins at a line, of several lines if need be; the head of a block has an empty one."""
    lines: list[str] = []
    for number in range(line, line + _LONGEST):
        lines.append(linecache.getline(frame.f_code.co_filename, number))
        text = textwrap.dedent("".join(lines)).strip()
        for attempt in (text, f"{text}\n    pass", f"if 1: pass\n{text}\n    pass", text.rstrip(",")):
            try:
                return ast.parse(attempt)
            except SyntaxError:
                continue
    return _around(frame.f_code.co_filename, line)


def _around(file: str, line: int) -> ast.AST | None:
    """The innermost statement that a line lies in, where none begins there."""
    nodes = (n for n in ast.walk(parsed(file)) if isinstance(n, ast.stmt) and n.lineno <= line <= (n.end_lineno or 0))
    return max(nodes, key=lambda node: node.lineno, default=None)
