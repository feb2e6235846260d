"""Lessons about sizes: what an error says of dimensions that do not fit, as inputs of other shapes."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from math import prod
from typing import Any, Final

import torch
from torch import nn

from analyzer.inputs.facts import Facts
from analyzer.running.traceback_frames import frames, read, suspects

Change = dict[str, Any]
Inputs = dict[str, Any]

_LARGEST: Final = 1 << 16
"""Size of a dimension, at most."""
_LITTLE: Final = 4
"""Columns that a model may take off an input, at most: where a patch stands, classes."""
_MOST: Final = 1 << 25
"""Elements of an input, at most."""


def sizes(match: re.Match[str], error: BaseException, _: Facts, inputs: Inputs) -> Iterator[Change]:
    """Two sizes do not fit: a dimension of an input that is one of them, or a multiple, becomes the other."""
    words = re.sub(r"(?<=\d)x(?=\d)", " ", match.string)  # "5x16"
    numbers = [*dict.fromkeys(int(n) for n in re.findall(r"(?<![\w.])\d+(?![\w.])", words))][:8]
    pairs = [(a, b) for a in numbers for b in numbers if a != b and a > 0 and b > 0]
    found: dict[tuple[str, int, int], tuple[int, bool]] = {}
    for name, value in tensors(inputs, error):
        for got, wanted in pairs:
            for axis, size in enumerate(value.shape):
                for rank, new in enumerate(_matched(size, got, wanted, value.is_floating_point())):
                    if 0 < new <= _LARGEST and new != size:
                        found.setdefault((name, axis, new), (rank, got == 1 or axis == 0))
    best = sorted(found, key=lambda one: found[one])  # what is said itself, and is no batch, first
    yield from (_as_long(name, axis, new, inputs) for name, axis, new in best)
    yield from ({name: _resized(inputs[name], [axis], new)} for name, axis, new in best)


def viewed(match: re.Match[str], error: BaseException, __: Facts, inputs: Inputs) -> Iterator[Change]:
    """A tensor is to be viewed in a shape: its last dimension becomes the product of what that shape says."""
    known = [int(n) for n in match["shape"].split(",") if int(n) > 0]
    for name, value in tensors(inputs, error):
        if value.is_floating_point() and value.dim() > 1 and prod(known) <= _LARGEST:
            yield {name: _resized(value, [value.dim() - 1], prod(known))}


def fewer(match: re.Match[str], error: BaseException, __: Facts, inputs: Inputs) -> Iterator[Change]:
    """A shape has some times as many elements as there are: what is that many becomes one."""
    wanted, there = prod(int(n) for n in match["shape"].split(",") if int(n) > 0), int(match["size"])
    for name, value in tensors(inputs, error) if there and wanted % there == 0 and wanted > there else ():
        for axis, size in enumerate(value.shape):
            if size == wanted // there:
                yield {name: _resized(value, [axis], 1)}


def multiplied(match: re.Match[str], error: BaseException, __: Facts, inputs: Inputs) -> Iterator[Change]:
    """Rows are as wide as a matrix wants that they are multiplied with: one input alone, and no more of it."""
    for name, value in tensors(inputs, error):
        if value.is_floating_point() and value.dim() > 1 and value.shape[-1] == int(match["got"]):
            yield {name: _resized(value, [value.dim() - 1], int(match["wanted"]))}


def rows(match: re.Match[str], error: BaseException, facts: Facts, inputs: Inputs) -> Iterator[Change]:
    """Numbers that came in a row have to be rows of a width: as many as a text has tokens, and their mask."""
    for name, value in tensors(inputs, error):
        if value.is_floating_point() and value.dim() == 2:
            change: Change = {name: value.new_zeros(value.shape[0], facts.length, int(match["width"]))}
            masks = [(n, v) for n, v in inputs.items() if "mask" in n and isinstance(v, torch.Tensor)]
            change |= {n: v[:, : facts.length] for n, v in masks if v.shape == value.shape}
            yield change


def codebooks(match: re.Match[str], error: BaseException, _: Facts, inputs: Inputs) -> Iterator[Change]:
    """An offset for each book of a code is added to ids: each place has an id in every book."""
    owners = [one for frame, _line in frames(error) if isinstance(one := frame.f_locals.get("self"), nn.Module)]
    offsets = [b for b in owners[-1].buffers(recurse=False) if b.dim() == 1] if owners else []
    for name, value in tensors(inputs, error):
        for count in [len(b) for b in offsets if str(len(b)) in match.string]:
            if not value.is_floating_point() and value.dim() == 2 and "mask" not in name:
                yield {name: value[..., None].repeat(1, 1, count)}


def channels(_: re.Match[str], error: BaseException, __: Facts, inputs: Inputs) -> Iterator[Change]:
    """Wrong channels: as many as the convolution has that refused, else one, as of sound or a grey image, or three."""
    owners = [frame.f_locals.get("self") for frame, _line in reversed(frames(error))]
    counts = [n for owner in owners if isinstance(n := getattr(owner, "in_channels", None), int)]
    for name, value in tensors(inputs, error):
        for count in dict.fromkeys((*counts[:1], 1, 3)):
            if value.is_floating_point() and value.dim() > 2 and value.shape[1] != count:
                if value.shape[-1] == count:
                    yield {name: value.transpose(1, -1).contiguous()}
                yield {name: _resized(value, [1], count)}


def rank(_: re.Match[str], error: BaseException, facts: Facts, inputs: Inputs) -> Iterator[Change]:
    """A tensor has too few or too many dimensions."""
    count = facts.find("num_frames", kind="vision", default=1)
    owners = [frame.f_locals.get("self") for frame, _line in reversed(frames(error))]
    patches = [(one.in_channels, *one.kernel_size) for one in owners if isinstance(one, nn.modules.conv._ConvNd)]
    for name, value in tensors(inputs, error):
        if patches and value.is_floating_point() and value.dim() == 2 and value.shape[1] == prod(patches[0]):
            yield {name: value.reshape(-1, *patches[0])}
        if value.dim() == 4 and isinstance(count, int):
            yield {name: torch.stack([value] * count, dim=1)}
        if value.dim() >= 1:
            yield {name: value[None]}
            yield {name: value.unsqueeze(1)}
            yield {name: value.unsqueeze(-1)}
        if value.dim() > 1 and value.shape[0] == 1:
            yield {name: value[0]}
    for name, value in tensors(inputs, error):
        if value.dim() >= 4:
            yield {name: torch.stack([value, value], dim=1)}


def listed(_: re.Match[str], error: BaseException, __: Facts, inputs: Inputs) -> Iterator[Change]:
    """What is in a list has too few or too many dimensions: each a batch of its own, or none."""
    lists = {name: value for name, value in inputs.items() if isinstance(value, list) and value}
    for name in suspects(error, list(lists)):
        held = lists[name]
        if all(isinstance(one, torch.Tensor) for one in held):
            yield {name: [one[None] for one in held]}
            yield from [{name: [one[0] for one in held]}] if all(one.shape[:1] == (1,) for one in held) else []


def unasked(_: re.Match[str], error: BaseException, facts: Facts, inputs: Inputs) -> Iterator[Change]:
    """A line reads what the model made in place of an argument that nobody gave: the same with another rank."""
    for frame, line in reversed(frames(error)):
        for name in dict.fromkeys(read(frame, line)):
            made = frame.f_locals.get(name)
            is_left = name in facts.names and inputs.get(name) is None and not facts.is_required(name)
            if is_left and isinstance(made, torch.Tensor) and made.dtype == torch.long and made.dim() > 0:
                given = torch.arange(made.shape[-1])
                yield {name: given if made.dim() > 1 else given[None]}


def larger(_: re.Match[str], error: BaseException, __: Facts, inputs: Inputs) -> Iterator[Change]:
    """What came in is too small: images twice as large and more, and many times as much of what has a length."""
    for step in range(1, 4):
        for name, value in tensors(inputs, error):
            last, is_image = value.dim() - 1, value.dim() >= 4
            grow = [[last - 1, last]] if is_image else [[last], [1]] if last == 2 else [[last]]
            for axes in grow if value.is_floating_point() and last > 0 else ():
                factor = (2 if is_image else 8) ** step
                if value.numel() * factor ** len(axes) <= _MOST:
                    yield {name: value.repeat(*(factor if n in axes else 1 for n in range(value.dim())))}


def tensors(inputs: Inputs, error: BaseException) -> list[tuple[str, torch.Tensor]]:
    """Those that a size may be wrong of: what the innermost statements read first, and floats before integers."""
    found = [(n, v) for n, v in inputs.items() if isinstance(v, torch.Tensor)]
    found.sort(key=lambda pair: not pair[1].is_floating_point())
    order = suspects(error, [name for name, _ in found])
    return sorted(found, key=lambda pair: order.index(pair[0]))


def _matched(size: int, got: int, wanted: int, is_float: bool) -> tuple[int, int, int]:
    """What a size becomes if it is the wrong number, is a multiple or a part of it, or loses a little on the way."""
    multiple = is_float and size > 1 and (size % got == 0 or got % size == 0) and size * wanted % got == 0
    cut = is_float and 0 < abs(size - got) <= _LITTLE and got > _LITTLE
    return wanted if size == got else 0, size * wanted // got if multiple else 0, size + wanted - got if cut else 0


def _as_long(name: str, axis: int, size: int, inputs: Inputs) -> Change:
    """An input with another size, square if it was, and those that were as large along that axis, and masks as long."""
    shape = inputs[name].shape
    old, square = shape[axis], len(shape) > 3 and axis > 1
    axes = [n for n, length in enumerate(shape) if n == axis or (square and n > 1 and length == old)]
    change = {name: _resized(inputs[name], axes, size)}
    for other, value in inputs.items():
        if other != name and isinstance(value, torch.Tensor) and axis > 0 and old > 1:
            last = range(1 if square else value.dim() - 1, value.dim()) if "mask" in other else axes
            follows = _along(value, last, old)
            change |= {other: _resized(value, follows, size)} if follows else {}
    return change


def _along(value: torch.Tensor, axes: Sequence[int], size: int) -> list[int]:
    """Those of some axes, the batch's left out, along which a tensor has a size; a row of integers has no batch."""
    if value.dim() == 1 and not value.is_floating_point():
        return [0] if value.shape[0] == size and 1 in axes else []
    return [n for n in axes if 0 < n < value.dim() and value.shape[n] == size]


def _resized(value: torch.Tensor, axes: Sequence[int], size: int) -> torch.Tensor:
    """With another size along some axes; integers are repeated, floats are zeros. Itself where that is too much.

    A sequence of integers keeps its first and its last: what begins it, and the token that ends it.
    """
    if prod(size if n in axes else old for n, old in enumerate(value.shape)) > _MOST:
        return value
    if value.is_floating_point() or 0 in value.shape:
        return value.new_zeros([size if n in axes else old for n, old in enumerate(value.shape)])
    for axis in axes:
        long = value.repeat_interleave(-(-size // value.shape[axis]), axis)
        ends = (long.narrow(axis, 0, size - 1), long.narrow(axis, long.shape[axis] - 1, 1)) if size > 1 else (long,)
        value = torch.cat(ends, axis).narrow(axis, 0, size)
    return value
