"""The functions and layers of einops, as operations of torch, so that dtypes, shapes and strides are the real ones."""

from __future__ import annotations

import string
from collections.abc import Callable, Sequence
from itertools import pairwise
from math import prod
from typing import Any

import torch
from torch import Tensor, nn

from analyzer.loaders.stubs.faithful.axis_patterns import (
    EinopsError,
    Reduction,
    lengths_of,
    parse_side,
    stacked,
    transform,
)

Names = dict[str, Any]
Tensors = Tensor | Sequence[Tensor]


def functions() -> Names:
    """What `einops` itself has."""
    names = (rearrange, reduce, repeat, einsum, pack, unpack, parse_shape, asnumpy, EinopsError)
    return {one.__name__: one for one in names}


def layers() -> Names:
    """What `einops.layers.torch` has, but for EinMix."""
    return {"Rearrange": Rearrange, "Reduce": Reduce}


def many() -> Names:
    """What `einops_exts` has: the same for several tensors."""

    def each(one: Callable[..., Tensor]) -> Callable[..., Any]:
        return lambda tensors, pattern, **sizes: (one(tensor, pattern, **sizes) for tensor in tensors)

    return {"rearrange_many": each(rearrange), "repeat_many": each(repeat), "reduce_many": each(reduce)}


def rearrange(tensor: Tensors, pattern: str, **axes_lengths: int) -> Tensor:
    """Reorder, split and merge axes."""
    return transform(stacked(tensor), pattern, "rearrange", axes_lengths)


def repeat(tensor: Tensors, pattern: str, **axes_lengths: int) -> Tensor:
    """Reorder axes and repeat along new ones."""
    return transform(stacked(tensor), pattern, "repeat", axes_lengths)


def reduce(tensor: Tensors, pattern: str, reduction: Reduction, **axes_lengths: int) -> Tensor:
    """Reorder axes and reduce those that the right side leaves out."""
    return transform(stacked(tensor), pattern, reduction, axes_lengths)


def einsum(*tensors_and_pattern: Any) -> Tensor:
    """`torch.einsum` with names of axes for letters; the pattern comes last."""
    *tensors, pattern = tensors_and_pattern
    inputs, arrow, output = pattern.partition("->")
    if not arrow:
        raise EinopsError("einsum pattern must contain '->'")
    letters: dict[str, str] = {}
    sides = [[_letter(axis, letters) for axis in side.split()] for side in (*inputs.split(","), output)]
    compact = ",".join("".join(side) for side in sides[:-1])
    return torch.einsum(f"{compact}->{''.join(sides[-1])}", *tensors)


def _letter(axis: str, letters: dict[str, str]) -> str:
    if axis in ("...", "…"):
        return "..."
    return letters.setdefault(axis, string.ascii_letters[len(letters)])


def pack(tensors: Sequence[Tensor], pattern: str) -> tuple[Tensor, list[torch.Size]]:
    """Join tensors along the axes for which `*` stands, and their shapes there."""
    before, after = _around(pattern)
    shapes = [tensor.shape[before : tensor.dim() - after] for tensor in tensors]
    flat = [one.reshape((*one.shape[:before], -1, *one.shape[one.dim() - after :])) for one in tensors]
    return torch.cat(flat, dim=before), shapes


def unpack(tensor: Tensor, packed_shapes: Sequence[Sequence[int]], pattern: str) -> list[Tensor]:
    """What `pack` has joined; one length of one shape may be -1."""
    before, _ = _around(pattern)
    lengths = [prod(shape) if -1 not in shape else -1 for shape in packed_shapes]
    if -1 in lengths:
        lengths[lengths.index(-1)] = tensor.shape[before] - sum(length for length in lengths if length != -1)
    ends = [sum(lengths[:count]) for count in range(len(lengths) + 1)]
    start, end = tensor.shape[:before], tensor.shape[before + 1 :]
    whole = (slice(None),) * before
    return [
        tensor[(*whole, slice(first, last))].reshape((*start, *shape, *end))
        for (first, last), shape in zip(pairwise(ends), packed_shapes, strict=True)
    ]


def _around(pattern: str) -> tuple[int, int]:
    """How many axes stand before and after the `*` of a pattern."""
    axes = pattern.split()
    if axes.count("*") != 1:
        raise EinopsError(f"'{pattern}' has not exactly one *")
    return axes.index("*"), len(axes) - axes.index("*") - 1


def parse_shape(x: Tensor, pattern: str) -> dict[str, int]:
    """The lengths of axes by name; `_` is left out."""
    axes = tuple((f"_{at}",) if group == ("_",) else group for at, group in enumerate(parse_side(pattern, "l")))
    return {axis: length for axis, length in lengths_of(axes, x.shape, {}).items() if not axis.startswith("_")}


def asnumpy(tensor: Tensor) -> Any:
    """The tensor as an array of numpy."""
    return tensor.detach().cpu().numpy()


class Rearrange(nn.Module):
    """`rearrange` as a layer."""

    def __init__(self, pattern: str, **axes_lengths: int) -> None:
        super().__init__()
        self.pattern, self.axes_lengths = pattern, axes_lengths

    def forward(self, input: Tensor) -> Tensor:
        """The input by the pattern."""
        return rearrange(input, self.pattern, **self.axes_lengths)


class Reduce(nn.Module):
    """`reduce` as a layer."""

    def __init__(self, pattern: str, reduction: Reduction, **axes_lengths: int) -> None:
        super().__init__()
        self.pattern, self.reduction, self.axes_lengths = pattern, reduction, axes_lengths

    def forward(self, input: Tensor) -> Tensor:
        """The input by the pattern."""
        return reduce(input, self.pattern, self.reduction, **self.axes_lengths)
