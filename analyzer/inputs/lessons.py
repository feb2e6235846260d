"""Lessons: what a model's own error says of its inputs, as changes of the inputs that are worth a try.

A lesson reads the words of the error and the frames that it came through; it knows no model. Each yields changes, the
likeliest first: argument -> its new value, or None to leave it out.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Final

import torch

from analyzer.inputs.facts import Facts
from analyzer.inputs.makers import together
from analyzer.inputs.placing import asserted, counted, looked_for, placed
from analyzer.inputs.sizes import (
    Change,
    Inputs,
    channels,
    codebooks,
    fewer,
    larger,
    listed,
    multiplied,
    rank,
    rows,
    sizes,
    tensors,
    unasked,
    viewed,
)
from analyzer.running.traceback_frames import assigned, frames, givers, guards, read


def changes(error: BaseException, facts: Facts, inputs: Inputs) -> Iterator[Change]:
    """All that the lessons propose for an error, in order."""
    words = f"{type(error).__name__}: {error}"
    for pattern, lesson in LESSONS:
        if (match := re.search(pattern, words)) is not None:
            yield from lesson(match, error, facts, inputs)


def _named(match: re.Match[str], error: BaseException, facts: Facts, inputs: Inputs) -> Iterator[Change]:
    """The words name arguments that were not given: all of them, or one."""
    words = dict.fromkeys(re.findall(r"\w+", match.string))
    missing = [name for name in words if name in facts.names and inputs.get(name) is None]
    if " or " not in match.string:
        yield from _all(missing, facts, inputs)
    for name in missing:
        yield _added(name, facts, inputs)


def _all(names: Sequence[str], facts: Facts, inputs: Inputs) -> Iterator[Change]:
    """Several arguments at once."""
    change: Change = {}
    for name in names:
        change |= _added(name, facts, {**inputs, **change})
    if len(names) > 1:
        yield change


def _none(_: re.Match[str], error: BaseException, facts: Facts, inputs: Inputs) -> Iterator[Change]:
    """A line reads something of None: an argument of that name, or one whose being given gives it a value."""
    for frame, line in reversed(frames(error)):
        nothing = dict.fromkeys(n for n in read(frame, line) if frame.f_locals.get(n, 0) is None)
        for name in (*nothing, *(other for n in nothing for other in givers(frame, n))):
            if name in facts.names and inputs.get(name) is None:
                yield _added(name, facts, inputs)


def _guarded(_: re.Match[str], error: BaseException, facts: Facts, inputs: Inputs) -> Iterator[Change]:
    """The model refuses under a test of arguments, or asserts one: one not given, or without one that was."""
    frame, line = frames(error)[-1]
    asserted = read(frame, line) if isinstance(error, AssertionError) else []
    names = [name for name in dict.fromkeys((*asserted, *guards(frame, line))) if name in facts.names]
    yield from _all([name for name in names if name in asserted and inputs.get(name) is None], facts, inputs)
    for name in names:
        if inputs.get(name) is None:
            yield _added(name, facts, inputs)
            yield {name: torch.zeros(1, dtype=torch.long)} if name.endswith("_ids") else {}
    for name in names:
        if inputs.get(name) is not None and not facts.is_required(name):
            yield {name: None}


def _computing(_: re.Match[str], error: BaseException, facts: Facts, inputs: Inputs) -> Iterator[Change]:
    """The model failed at working out an argument that was not given: a value of it."""
    for frame, line in frames(error):
        for name in assigned(frame, line):
            if name in facts.names and inputs.get(name) is None and frame.f_locals.get(name, 0) is None:
                yield _added(name, facts, inputs)


def _tokens(match: re.Match[str], error: BaseException, facts: Facts, inputs: Inputs) -> Iterator[Change]:
    """The text lacks the tokens that stand for the features of an image, a clip or a sound."""
    if "input_ids" not in inputs:
        return
    features, text = int(match["features"]), match.string.lower()
    kinds = sorted(("image", "video", "audio"), key=lambda kind: kind not in text)
    said = match.groupdict().get("id")
    for token in [int(said)] if said else [t for kind in kinds if (t := facts.token(kind)) is not None]:
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
        change["mm_token_type_ids"] = _kinds(text, token, facts)
    return change


def _kinds(text: torch.Tensor, token: int, facts: Facts) -> torch.Tensor:
    """The kind of each token, as processors number them: 0 for text, 1 for an image, 2 for a clip, 3 for a sound."""
    made = (text == token).long()
    for number, kind in enumerate(("image", "video", "audio"), 1):
        if (known := facts.token(kind)) is not None:
            made[text == known] = number
    return made


def _no_cache(_: re.Match[str], error: BaseException, facts: Facts, inputs: Inputs) -> Iterator[Change]:
    """The way leads through the cache of past tokens, which the first call can do without."""
    through = any("cache_utils" in frame.f_code.co_filename for frame, _ in frames(error))
    words = any(part in str(error).lower() for part in ("cache", "get_seq_length", "layer_types"))
    if facts.takes("use_cache") and inputs.get("use_cache") is not False and (through or words):
        yield {"use_cache": False}


def _integers(_: re.Match[str], error: BaseException, ___: Facts, inputs: Inputs) -> Iterator[Change]:
    """Indices have to be integers."""
    for name, value in tensors(inputs, error):
        if value.is_floating_point():
            yield {name: value.long()}


def _floats(_: re.Match[str], error: BaseException, facts: Facts, inputs: Inputs) -> Iterator[Change]:
    """Numbers have to be floats."""
    for name, value in tensors(inputs, error):
        if not value.is_floating_point() and not name.endswith("_ids"):
            yield {name: value.to(facts.dtype)}


def _ones(_: re.Match[str], error: BaseException, __: Facts, inputs: Inputs) -> Iterator[Change]:
    """A count that something is divided by is one at least."""
    for name, value in tensors(inputs, error):
        if not value.is_floating_point() and bool((value == 0).any()):
            yield {name: torch.ones_like(value)}


def _booleans(_: re.Match[str], error: BaseException, __: Facts, inputs: Inputs) -> Iterator[Change]:
    """Masks have to be booleans."""
    for name, value in tensors(inputs, error):
        if "mask" in name and value.dtype != torch.bool:
            yield {name: value.bool()}


def _within(_: re.Match[str], error: BaseException, ___: Facts, inputs: Inputs) -> Iterator[Change]:
    """An index is beyond a table: the smallest that there is."""
    for name, value in tensors(inputs, error):
        if not value.is_floating_point() and bool((value > 0).any()) and "mask" not in name:
            yield {name: torch.zeros_like(value)}


def _added(name: str, facts: Facts, inputs: Inputs) -> Change:
    made = together(name, facts, inputs)
    return {key: value for key, value in made.items() if value is not None and (key == name or key not in inputs)}


Lesson = Callable[[re.Match[str], BaseException, Facts, Inputs], Iterator[Change]]
LESSONS: Final[tuple[tuple[str, Lesson], ...]] = (
    (r"value tensor of shape \[(?P<features>\d+).*indexing result of shape \[(?P<there>\d+)", placed),
    (r"^AssertionError", asserted),
    (r"^AssertionError", counted),
    (r"^ValueError: .*not in list", looked_for),
    (r"(?i)tokens?:? (?P<tokens>\d+),? *(?:and )?(?:\w+ )?features:? (?P<features>\d+)", _tokens),
    (r"(?i)tokens? \((?P<tokens>\d+)\) and features \((?P<features>\d+)\)(?:.* token id (?P<id>\d+))?", _tokens),
    (
        r"number of image tokens is (?P<tokens>\d+) while\s+the number of image given .* is (?P<features>\d+)",
        _tokens,
    ),  # of an age in which one token stood for a whole image
    (r"(?i)specif|provid|missing|requir|must be|can(?:no|')t be|need|expected|should|None", _named),
    (r"NoneType|None", _none),
    (r"^(?!.*(?:NoneType|not in list))(?:Value|Type|Assertion|NotImplemented)Error", _guarded),
    (r"(?i)cache|get_seq_length|layer_types|AttributeError|IndexError", _no_cache),
    (r"shape '\[(?P<shape>[-\d, ]+)\]' is invalid for input of size (?P<size>\d+)", fewer),
    (r"(?i)too small|than actual input|less than|smaller than|at least|stride|empty|zero|negative|is invalid", larger),
    (r"shape '\[(?P<shape>[-\d, ]+)\]' is invalid", viewed),
    (r"(?i)channel", channels),
    (r"(?:multiplied \(\d+x|reduction dim, but got \[\d+, )(?P<got>\d+)\]? (?:and|X) \[?(?P<wanted>\d+)", multiplied),
    (r"expected input with shape \[\*, (?P<width>\d+)\]", rows),
    (r"size of tensor a .* must match the size of tensor b", codebooks),
    (r"values to unpack|number of dimensions|expected \dD", listed),
    (r"number of dimensions", unasked),
    (r"values to unpack|same number of dimensions", rank),
    (r"\d+", sizes),
    (r"(?i)dimension|expected \dD|\dD tensor|rank|dim", rank),
    (r"(?i)argument #1 'indices'|must be (?:of )?(?:type )?(?:long|int)|types? Long|for 'Float'", _integers),
    (r"(?i)\(long int\) and|found (?:dtype )?Long|for 'Long'|output type Long|floating point", _floats),
    (r"(?i)division|by zero", _ones),
    (r"(?i)bool", _booleans),
    (r"(?i)out of range|out of bounds|index \d+", _within),
    (r"^(?!.*not in list)", _computing),
)
"""Expression for the words of an error -> the lesson that reads it; in the order in which they are tried."""
