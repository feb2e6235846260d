"""Lessons: what a model's own error says of its inputs, as changes of the inputs that are worth a try.

A lesson reads the words of the error and the frames that it came through; it knows no model. Each yields changes, the
likeliest first: argument -> its new value, or None to leave it out.
"""

from __future__ import annotations

import ast
import inspect
import linecache
import re
from collections.abc import Callable, Iterator
from math import prod
from types import FrameType
from typing import Any, Final

import torch

from analyzer.loaders.inputs.facts import Facts
from analyzer.loaders.inputs.makers import together

Change = dict[str, Any]
Inputs = dict[str, Any]


def changes(error: BaseException, facts: Facts, inputs: Inputs) -> Iterator[Change]:
    """All that the lessons propose for an error, in order."""
    words = f"{type(error).__name__}: {error}"
    for pattern, lesson in LESSONS:
        if (match := re.search(pattern, words)) is not None:
            yield from lesson(match, error, facts, inputs)


def _named(match: re.Match[str], error: BaseException, facts: Facts, inputs: Inputs) -> Iterator[Change]:
    """The words name an argument that was not given."""
    for name in re.findall(r"\w+", match.string):
        if name in facts.names and inputs.get(name) is None:
            yield _added(name, facts, inputs)


def _none(_: re.Match[str], error: BaseException, facts: Facts, inputs: Inputs) -> Iterator[Change]:
    """A line reads something of None: an argument of that name, in the innermost frame that has one."""
    for frame, line in reversed(_frames(error)):
        names = [n for n in _read(frame, line) if frame.f_locals.get(n, 0) is None and n in facts.names]
        for name in dict.fromkeys(names):
            if inputs.get(name) is None:
                yield _added(name, facts, inputs)


def _tokens(match: re.Match[str], _: BaseException, facts: Facts, inputs: Inputs) -> Iterator[Change]:
    """The text lacks the tokens that stand for the features of an image, a clip or a sound."""
    if "input_ids" not in inputs:
        return
    features, text = int(match["features"]), match.string.lower()
    kinds = sorted(("image", "video", "audio"), key=lambda kind: kind not in text)
    for token in [t for kind in kinds if (t := facts.token(kind)) is not None]:
        width = facts.find("hidden_size", default=0)
        for count in dict.fromkeys((features, features // width if width and features % width == 0 else features)):
            row = [i for i in inputs["input_ids"][0].tolist() if i != token]
            yield _lengthened(torch.tensor([row[:4] + [token] * count + row[4:]]), token, inputs, facts)


def _lengthened(text: torch.Tensor, token: int, inputs: Inputs, facts: Facts) -> Change:
    """The text, and what is as long as it."""
    old = inputs["input_ids"].shape[1]
    change: Change = {"input_ids": text}
    for name, value in inputs.items():
        if isinstance(value, torch.Tensor) and value.shape == (1, old) and name != "input_ids":
            change[name] = torch.ones_like(text) if "mask" in name else torch.zeros_like(text)
    if "mm_token_type_ids" in facts.names:
        change["mm_token_type_ids"] = (text == token).long()
    return change


def _sizes(match: re.Match[str], error: BaseException, _: Facts, inputs: Inputs) -> Iterator[Change]:
    """Two sizes do not fit: a dimension of an input that is one of them, or a multiple, becomes the other."""
    words = re.sub(r"(?<=\d)x(?=\d)", " ", match.string)  # "5x16"
    numbers = [int(n) for n in re.findall(r"(?<![\w.])\d+(?![\w.])", words)][:8]
    pairs = [(a, b) for a in numbers for b in numbers if a != b and a > 0 and b > 0]
    tried = set()
    for got, wanted in dict.fromkeys(pairs):
        for name, value in _tensors(inputs):
            for axis, size in enumerate(value.shape):
                new = size * wanted // got
                scales = value.is_floating_point() and size > 1 and (size % got == 0 or got % size == 0)
                fits = size == got or (scales and size * wanted % got == 0)
                if fits and 0 < new <= _LARGEST and (name, axis, new) not in tried and new != size:
                    tried.add((name, axis, new))
                    yield {name: _resized(value, axis, new)}


def _viewed(match: re.Match[str], _: BaseException, __: Facts, inputs: Inputs) -> Iterator[Change]:
    """A tensor is to be viewed in a shape: its last dimension becomes the product of what that shape says."""
    known = [int(n) for n in match["shape"].split(",") if int(n) > 0]
    for name, value in _tensors(inputs):
        if value.is_floating_point() and value.dim() > 1 and prod(known) <= _LARGEST:
            yield {name: _resized(value, value.dim() - 1, prod(known))}


def _channels(_: re.Match[str], __: BaseException, ___: Facts, inputs: Inputs) -> Iterator[Change]:
    """Wrong channels: one, as of sound or a grey image, or three."""
    for name, value in _tensors(inputs):
        for count in (1, 3):
            if value.is_floating_point() and value.dim() > 2 and value.shape[1] != count:
                yield {name: _resized(value, 1, count)}


def _rank(match: re.Match[str], _: BaseException, __: Facts, inputs: Inputs) -> Iterator[Change]:
    """A tensor has too few or too many dimensions."""
    for name, value in _tensors(inputs):
        if value.dim() >= 1:
            yield {name: value[None]}
            yield {name: value.unsqueeze(1)}
            yield {name: value.unsqueeze(-1)}
        if value.dim() > 1 and value.shape[0] == 1:
            yield {name: value[0]}
    for name, value in _tensors(inputs):
        if value.dim() >= 4:
            yield {name: torch.stack([value, value], dim=1)}


def _larger(_: re.Match[str], __: BaseException, ___: Facts, inputs: Inputs) -> Iterator[Change]:
    """What came in is too small: twice and eight times the size, first of images, then of what has a length."""
    for factor in (2, 4, 8):
        for name, value in _tensors(inputs):
            if value.is_floating_point() and value.dim() >= 4:
                yield {name: value.repeat(*[1] * (value.dim() - 2), factor, factor)}
            elif value.is_floating_point() and value.dim() in (2, 3):
                yield {name: value.repeat(*[1] * (value.dim() - 1), factor)}
                if value.dim() == 3:
                    yield {name: value.repeat(1, factor, 1)}


def _no_cache(_: re.Match[str], error: BaseException, facts: Facts, inputs: Inputs) -> Iterator[Change]:
    """The way leads through the cache of past tokens, which the first call can do without."""
    through = any("cache_utils" in frame.f_code.co_filename for frame, _ in _frames(error))
    words = any(part in str(error).lower() for part in ("cache", "get_seq_length", "layer_types"))
    if "use_cache" in facts.names and inputs.get("use_cache") is not False and (through or words):
        yield {"use_cache": False}


def _integers(_: re.Match[str], __: BaseException, ___: Facts, inputs: Inputs) -> Iterator[Change]:
    """Indices have to be integers."""
    for name, value in _tensors(inputs):
        if value.is_floating_point():
            yield {name: value.long()}


def _within(_: re.Match[str], __: BaseException, ___: Facts, inputs: Inputs) -> Iterator[Change]:
    """An index is beyond a table: the smallest that there is."""
    for name, value in _tensors(inputs):
        if not value.is_floating_point() and bool((value > 0).any()) and "mask" not in name:
            yield {name: torch.zeros_like(value)}


def _added(name: str, facts: Facts, inputs: Inputs) -> Change:
    made = together(name, facts, inputs)
    return {key: value for key, value in made.items() if value is not None and (key == name or key not in inputs)}


def _tensors(inputs: Inputs) -> list[tuple[str, torch.Tensor]]:
    """Those that a size may be wrong of: floats first."""
    found = [(n, v) for n, v in inputs.items() if isinstance(v, torch.Tensor)]
    return sorted(found, key=lambda pair: not pair[1].is_floating_point())


def _resized(value: torch.Tensor, axis: int, size: int) -> torch.Tensor:
    shape = [size if n == axis else old for n, old in enumerate(value.shape)]
    if value.is_floating_point():
        return torch.zeros(shape, dtype=value.dtype)
    repeats = -(-size // value.shape[axis]) if value.shape[axis] else 1
    return value.repeat_interleave(repeats, axis).narrow(axis, 0, size) if value.shape[axis] else value.new_zeros(shape)


def _frames(error: BaseException) -> list[tuple[FrameType, int]]:
    found, trace = [], error.__traceback__
    while trace is not None:
        found.append((trace.tb_frame, trace.tb_lineno))
        trace = trace.tb_next
    return found


def _read(frame: FrameType, line: int) -> list[str]:
    """Names whose value a source line reads."""
    text = linecache.getline(frame.f_code.co_filename, line).strip()
    for attempt in (text, f"{text} pass", f"x = {text}", text.rstrip(","), text.removeprefix("el")):
        try:
            return [n.id for n in ast.walk(ast.parse(inspect.cleandoc(attempt))) if isinstance(n, ast.Name)]
        except SyntaxError:
            continue
    return re.findall(r"[A-Za-z_]\w*", text)


_LARGEST: Final = 1 << 16
Lesson = Callable[[re.Match[str], BaseException, Facts, Inputs], Iterator[Change]]
LESSONS: Final[tuple[tuple[str, Lesson], ...]] = (
    (r"(?i)tokens?:? (?P<tokens>\d+),? *(?:and )?(?:\w+ )?features:? (?P<features>\d+)", _tokens),
    (r"(?i)specif|provid|missing|requir|must be|can(?:no|')t be|need|expected|should|None", _named),
    (r"NoneType|None", _none),
    (r"(?i)cache|get_seq_length|layer_types|AttributeError|IndexError", _no_cache),
    (r"(?i)too small|than actual input|less than|smaller than|at least|stride|empty|zero|negative|is invalid", _larger),
    (r"shape '\[(?P<shape>[-\d, ]+)\]' is invalid", _viewed),
    (r"(?i)channel", _channels),
    (r"\d+", _sizes),
    (r"(?i)unpack|dimension|expected \dD|\dD tensor|rank|dim", _rank),
    (r"(?i)argument #1 'indices'|must be (?:of )?(?:type )?(?:long|int)|types? Long|for 'Float'", _integers),
    (r"(?i)out of range|out of bounds|index \d+", _within),
)
"""Expression for the words of an error -> the lesson that reads it; in the order in which they are tried."""
