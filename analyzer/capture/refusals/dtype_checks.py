"""Whether an error was raised by Python code that had looked at a dtype, and at which tensors it looked."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from contextlib import suppress
from types import CodeType, FrameType, TracebackType
from typing import Final

import torch

from analyzer.capture.refusals.conditions import Failing, failing, gave, given, is_of_form, names, reads, returns, tells

_CAUSES: Final = 4
"""How many errors, each raised for the one before, are looked at."""


def looked_at(error: BaseException) -> tuple[torch.Tensor, ...] | None:
    """The tensors whose dtype the code tested before it raised; None if it raised for another reason.

    The test is that of the `if` or `match` around the innermost `raise`, or of the `assert`, or a key that is a
    dtype. What it names may have been read before, be what a function returns, or be passed by the caller. An error
    that names a dtype in its own words, and `torch.iinfo` or `torch.finfo` of a dtype, count as well, and one that is
    raised for another counts as that. A tensor that is no plain name, such as one of a list, is left out.
    """
    for one in chain(error):
        frames = list(_frames(one.__traceback__))
        if not frames:
            return None
        why = _failing(*frames[0], one)
        if why is None or not why.handles:
            return _looked(why, frames) if why else None
    return None


def is_of_other(error: BaseException) -> bool:
    """Whether the test that is nearest to an error reads a form or values, and no dtype by any way that is followed."""
    frames = list(_frames(error.__traceback__))
    why = _failing(*frames[0], error) if frames else None
    return why is not None and bool(why.tests) and _of_form(why, *frames[0])


def _of_form(why: Failing, frame: FrameType, line: int) -> bool:
    """Whether the nearest test reads a form or values, itself or by a name that holds them, and no dtype."""
    nearest = why.tests[0]
    held = (value for name in names(nearest) for value in gave(why.scope, name, line) if not _is_tensor(frame, name))
    return any(map(is_of_form, (nearest, *held))) and not any(True for _ in _read([nearest], why.scope, frame, line))


def _is_tensor(frame: FrameType, name: str) -> bool:
    return isinstance(frame.f_locals.get(name), torch.Tensor)


def chain(error: BaseException) -> Iterator[BaseException]:
    """An error, and those that it was raised for."""
    one: BaseException | None = error
    for _ in range(_CAUSES):
        if one is not None:
            yield one
            one = one.__cause__ or one.__context__


def _frames(trace: TracebackType | None) -> list[tuple[FrameType, int]]:
    """The frames of an error with their lines, the innermost first."""
    found = []
    while trace is not None:
        found.append((trace.tb_frame, trace.tb_lineno))
        trace = trace.tb_next
    return found[::-1]


def _failing(frame: FrameType, line: int, error: BaseException) -> Failing | None:
    return failing(frame.f_code.co_filename, line, key=isinstance(error, KeyError))


def _looked(why: Failing, frames: list[tuple[FrameType, int]]) -> tuple[torch.Tensor, ...] | None:
    """What the tests of the innermost frame read, or else those expressions of its callers that it was passed."""
    frame, line = frames[0]
    words = () if why.tests and _of_form(why, frame, line) else why.words
    tests, found, any_read = list(why.tests), list(_read((*why.tests, *words), why.scope, frame, line)), False
    for caller, at in [*frames[1:], (None, 0)]:
        any_read = any_read or bool(found)
        looked = [one for one in (_value(expr, frame) for expr in found) if isinstance(one, torch.Tensor)]
        if looked or caller is None:
            return tuple({id(one): one for one in looked}.values()) if any_read else None
        place = failing(caller.f_code.co_filename, at, key=False)
        tests = _passed(tests, frame, place) if place else []
        if place is None or not tests:
            break
        frame, found = caller, list(_read(tests, place.scope, caller, at))
    return () if any_read else None


def _passed(tests: list[ast.expr], frame: FrameType, place: Failing) -> list[ast.expr]:
    """What the caller gave for the arguments, other than tensors, that tests read."""
    code = frame.f_code
    takes = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
    named = dict.fromkeys(name for test in tests for name in names(test) if name in takes)
    wanted = [name for name in named if not isinstance(frame.f_locals.get(name), (torch.Tensor, torch.nn.Module))]
    return given(place.statement, code.co_name, takes, wanted)


def _read(tests: Iterable[ast.expr], scope: ast.AST, frame: FrameType, line: int) -> Iterator[ast.expr]:
    """What conditions read the dtype of: themselves, by a name that holds it, or by a function that returns it."""
    for test in tests:
        yield from reads(test)
        for name in names(test):
            for value in gave(scope, name, line):
                if tells(value):
                    yield from reads(value)
        for node in ast.walk(test):
            if isinstance(node, ast.Call) and _tells(_value(node.func, frame)):
                yield from node.args


def _tells(function: object) -> bool:
    """Whether a function written in Python returns what a dtype decides."""
    code = getattr(function, "__code__", None)
    if not isinstance(code, CodeType):
        return False
    return any(map(tells, returns(code.co_filename, code.co_firstlineno, code.co_name)))


def _value(expr: ast.expr, frame: FrameType) -> object:
    """What a name, or attributes of one, stands for in a frame; None where it is anything else.

    An attribute of a tensor is not read: that may be an operation.
    """
    if isinstance(expr, ast.Name):
        return frame.f_locals.get(expr.id, frame.f_globals.get(expr.id))
    held = _value(expr.value, frame) if isinstance(expr, ast.Attribute) else None
    if held is None or isinstance(held, torch.Tensor):
        return None
    with suppress(Exception):  # whatever a property of a model may raise
        return getattr(held, expr.attr, None)  # type: ignore[attr-defined]
    return None
