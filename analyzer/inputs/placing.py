"""Lessons that read the source for what it compares: ids that features are put at, and shapes that are asserted."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from types import FrameType
from typing import Any, Final

import torch

from analyzer.capture.refusals.conditions import parsed
from analyzer.inputs.facts import Facts
from analyzer.inputs.sizes import Change, Inputs, tensors
from analyzer.running.traceback_frames import frames, statement

_MOST_DIMENSIONS: Final = 8


def placed(match: re.Match[str], error: BaseException, _: Facts, inputs: Inputs) -> Iterator[Change]:
    """Places are fewer or more than what is put there: as many ids as are compared with, or ones in a mask."""
    for frame, line in reversed(frames(error)):
        for called, wanted in _compared(frame, line):
            name = called if called in inputs else next((one for one in _read(frame, called) if one in inputs), "")
            given = inputs.get(name)
            if isinstance(given, torch.Tensor) and given.dim() == 2 and not given.is_floating_point():
                yield _with(name, given, int(match["features"]), wanted, inputs)


def asserted(_: re.Match[str], error: BaseException, __: Facts, inputs: Inputs) -> Iterator[Change]:
    """The source asserts the shape of an input: that shape."""
    for frame, line in reversed(frames(error)):
        tree = statement(frame, line)
        for node in ast.walk(tree) if tree else ():
            if isinstance(node, ast.Compare) and isinstance(node.left, ast.Attribute) and node.left.attr == "shape":
                name = node.left.value.id if isinstance(node.left.value, ast.Name) else ""
                shape = [_value(frame, one) for one in getattr(node.comparators[0], "elts", ())]
                given = inputs.get(name)
                if isinstance(given, torch.Tensor) and shape and all(type(size) is int for size in shape):
                    yield {name: given.new_zeros(shape)}


def counted(_: re.Match[str], error: BaseException, __: Facts, inputs: Inputs) -> Iterator[Change]:
    """The source asserts how many dimensions a tensor has: more in front of an input that has as many as that one."""
    frame, line = frames(error)[-1]
    tree = statement(frame, line)
    for node in ast.walk(tree) if tree else ():
        if isinstance(node, ast.Compare) and isinstance(node.left, ast.Attribute) and node.left.attr == "ndim":
            there, wanted = _value(frame, node.left), _value(frame, node.comparators[0])
            for name, given in tensors(inputs, error):
                if type(wanted) is int and given.dim() == there and there < wanted <= _MOST_DIMENSIONS:
                    yield {name: given[(None,) * (wanted - there)]}


def looked_for(_: re.Match[str], error: BaseException, __: Facts, inputs: Inputs) -> Iterator[Change]:
    """A list made of a text lacks tokens that are looked for: the text with them at its end, else at its beginning."""
    frame, line = frames(error)[-1]
    tree, text = statement(frame, line), inputs.get("input_ids")
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)] if tree else []
    wanted = [_value(frame, one) for call in calls if _is_method(call, "index") for one in call.args[:1]]
    if isinstance(text, torch.Tensor) and text.dim() == 2:
        row = text[0].tolist()
        lacking = [token for token in dict.fromkeys(wanted) if type(token) is int and token not in row]
        for made in ([*row, *lacking], [*lacking, *row]) if lacking else ():
            yield _rows("input_ids", text, made, inputs)


def _is_method(call: ast.Call, name: str) -> bool:
    return isinstance(call.func, ast.Attribute) and call.func.attr == name


def _compared(frame: FrameType, line: int) -> Iterator[tuple[str, int]]:
    """Names that the index of a statement compares for being equal, with what: itself, or where it was given a value.

    A name that is the index itself is a mask of ones.
    """
    tree = statement(frame, line)
    indices = [node.slice for node in ast.walk(tree) if isinstance(node, ast.Subscript)] if tree else []
    names = {node.id for index in indices for node in ast.walk(index) if isinstance(node, ast.Name)}
    for source in (*indices, *_assigned(frame, names)):
        for node in ast.walk(source):
            if isinstance(node, ast.Compare) and isinstance(node.ops[0], ast.Eq) and isinstance(node.left, ast.Name):
                value = _value(frame, node.comparators[0])
                if type(value) is int:
                    yield node.left.id, value
    yield from ((name, 1) for name in sorted(names))


def _read(frame: FrameType, name: str) -> list[str]:
    """Names that are read where a name is given its value."""
    return [n.id for one in _assigned(frame, {name}) for n in ast.walk(one) if isinstance(n, ast.Name)]


def _assigned(frame: FrameType, names: set[str]) -> Iterator[ast.expr]:
    """What a frame's function gives these names."""
    code = frame.f_code
    for node in ast.walk(parsed(code.co_filename)):
        if isinstance(node, ast.FunctionDef) and node.name == code.co_name:
            for one in ast.walk(node):
                if isinstance(one, ast.Assign) and any(isinstance(t, ast.Name) and t.id in names for t in one.targets):
                    yield one.value


def _value(frame: FrameType, node: ast.expr) -> Any:
    """What a constant, a name or an attribute stands for in a frame; None where that is not known."""
    if isinstance(node, ast.Constant):
        return node.value
    if isinstance(node, ast.Name):
        return frame.f_locals.get(node.id, frame.f_globals.get(node.id))
    return getattr(_value(frame, node.value), node.attr, None) if isinstance(node, ast.Attribute) else None


def _with(name: str, given: torch.Tensor, count: int, wanted: int, inputs: Inputs) -> Change:
    """An input with that many places, and all that is as long as it."""
    kept = [value for value in given[0].tolist() if value != wanted]
    return _rows(name, given, [*kept[:1], *[wanted] * count, *kept[1:]], inputs)


def _rows(name: str, given: torch.Tensor, row: list[int], inputs: Inputs) -> Change:
    """An input with that row, and all that is as long as it."""
    length = given.shape[1]
    change: Change = {name: torch.tensor([row], dtype=given.dtype)}
    for other, value in inputs.items():
        if other != name and isinstance(value, torch.Tensor) and value.shape == (1, length):
            change[other] = _as_long(value, len(row))
    return change


def _as_long(value: torch.Tensor, length: int) -> torch.Tensor:
    """A row of another length: counted on where it counts, else its first values again and again."""
    row = value[0]
    if len(row) > 1 and torch.equal(row, torch.arange(len(row), dtype=row.dtype)):
        return torch.arange(length, dtype=row.dtype)[None]
    return row.repeat(-(-length // len(row)))[:length][None]
