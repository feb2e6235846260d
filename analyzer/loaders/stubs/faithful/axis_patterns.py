"""Reads patterns of axes such as `b (h w) c -> b c h w`, as einops documents them, and applies them to tensors."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain
from math import prod
from typing import Final

import torch
from torch import Tensor

Reduction = str | Callable[[Tensor, tuple[int, ...]], Tensor]
Axes = tuple[tuple[str, ...], ...]
"""For each dimension the axes that it is composed of."""
_TOKENS: Final = re.compile(r"\(|\)|\.\.\.|…|\w+")
_ELLIPSIS: Final = "..."
_GROUPED: Final = "(...)"
"""What an ellipsis in parentheses is: all of its dimensions as one."""
_AT_ONCE: Final[dict[str, Callable[[Tensor, tuple[int, ...]], Tensor]]] = {
    "min": lambda x, axes: x.amin(dim=axes),
    "max": lambda x, axes: x.amax(dim=axes),
    "sum": lambda x, axes: x.sum(dim=axes),
    "mean": lambda x, axes: x.mean(dim=axes),
}
_ONE_BY_ONE: Final[dict[str, Callable[[Tensor, int], Tensor]]] = {
    "prod": lambda x, axis: x.prod(dim=axis),
    "any": lambda x, axis: x.any(dim=axis),
    "all": lambda x, axis: x.all(dim=axis),
}


class EinopsError(RuntimeError):
    """A pattern that is none, or that does not go with a tensor."""


@dataclass(frozen=True, slots=True)
class Pattern:
    """Both sides of a pattern, for a tensor of a known number of dimensions."""

    left: Axes
    right: Axes

    @property
    def before(self) -> list[str]:
        """Every axis of the left side."""
        return list(chain(*self.left))

    @property
    def after(self) -> list[str]:
        """Every axis of the right side."""
        return list(chain(*self.right))


def read(text: str, dimensions: int) -> Pattern:
    """The pattern in a text. Raises EinopsError for what is none."""
    sides = text.split("->")
    if len(sides) != 2:
        raise EinopsError(f"'{text}' is not of the form 'axes -> axes'")
    left, right = parse_side(sides[0], "l"), parse_side(sides[1], "r")
    rest = dimensions - len(left) + 1 if (_ELLIPSIS,) in left else 0
    pattern = Pattern(_spread(left, rest), _spread(right, rest))
    if len(pattern.left) != dimensions:
        raise EinopsError(f"'{text}' expects {len(pattern.left)} dims, received a {dimensions}-dim tensor")
    for axes in (pattern.before, pattern.after):
        if len(set(axes)) != len(axes):
            raise EinopsError(f"an axis stands twice on one side of '{text}'")
    return pattern


def parse_side(text: str, side: str) -> Axes:
    """The dimensions on one side of a pattern; `1` is a dimension of no axis, another number an axis of its own."""
    groups: list[tuple[str, ...]] = []
    inside: list[str] | None = None
    for number, token in enumerate(_TOKENS.findall(text)):
        if token == "(":
            inside = []
        elif token == ")":
            groups.append(tuple(inside or ()))
            inside = None
        else:
            axis = _axis(token, f"{side}{number}")
            if inside is None:
                groups.append((axis,) if token != "1" else ())
            elif token != "1":
                inside.append(_GROUPED if axis == _ELLIPSIS else axis)
    return tuple(groups)


def _axis(token: str, place: str) -> str:
    if token == "…":
        return _ELLIPSIS
    return f"{token} {place}" if token.isdigit() else token


def _spread(axes: Axes, rest: int) -> Axes:
    """The axes with the ellipsis replaced by an axis for each of the dimensions that it stands for."""
    names = [f"{_ELLIPSIS}{number}" for number in range(rest)]
    found: list[tuple[str, ...]] = []
    for group in axes:
        if group == (_ELLIPSIS,):
            found.extend((name,) for name in names)
        else:
            found.append(tuple(chain(*(names if axis == _GROUPED else [axis] for axis in group))))
    return tuple(found)


def lengths_of(axes: Axes, shape: Sequence[int], given: dict[str, int]) -> dict[str, int]:
    """The length of each axis of a tensor. Raises EinopsError where they do not go with the shape."""
    known = {axis: int(axis.split()[0]) for group in axes for axis in group if axis[0].isdigit()} | given
    for group, length in zip(axes, shape, strict=True):
        unknown = [axis for axis in group if axis not in known]
        product = prod(known[axis] for axis in group if axis in known)
        if len(unknown) > 1:
            raise EinopsError(f"could not infer sizes for {unknown}")
        if unknown and product and length % product == 0:
            known[unknown[0]] = length // product
        elif unknown or product != length:
            raise EinopsError(f"shape mismatch: a dim of {length} is not {' '.join(group) or '1'} of {known}")
    return known


def transform(tensor: Tensor, text: str, how: Reduction, sizes: dict[str, int]) -> Tensor:
    """The tensor by a pattern: reshape, permute, reduce, expand, reshape, each only where it is needed."""
    pattern = read(text, tensor.dim())
    before, after = pattern.before, pattern.after
    _check(before, after, how, sizes)
    known = lengths_of(pattern.left, tensor.shape, sizes)
    known |= {axis: int(axis.split()[0]) for axis in after if axis[0].isdigit()}
    tensor = _reordered(_regrouped(tensor, pattern.left, [(axis,) for axis in before], known), before, after)
    kept = sum(axis in after for axis in before)
    if kept < len(before):
        tensor = _reduce(tensor, how, tuple(range(kept, len(before))))
    tensor = _add(tensor, {at: known[axis] for at, axis in enumerate(after) if axis not in before}, len(after))
    return _regrouped(tensor, pattern.right, pattern.right, known)


def _regrouped(tensor: Tensor, side: Axes, groups: Sequence[Sequence[str]], known: dict[str, int]) -> Tensor:
    """The tensor with a dimension for each of the groups, if a side of its pattern has any but single axes."""
    if all(len(group) == 1 for group in side):
        return tensor
    return tensor.reshape([prod(known[axis] for axis in group) for group in groups])


def _reordered(tensor: Tensor, before: Sequence[str], after: Sequence[str]) -> Tensor:
    """The tensor with the axes that stay in their new order, and those that go behind them."""
    kept = [axis for axis in after if axis in before]
    order = [before.index(axis) for axis in (*kept, *(axis for axis in before if axis not in after))]
    return tensor.permute(order) if order != sorted(order) else tensor


def _check(before: Sequence[str], after: Sequence[str], how: Reduction, sizes: dict[str, int]) -> None:
    gone, new = set(before) - set(after), set(after) - set(before)
    unknown = [axis for axis in sizes if axis not in before and axis not in after]
    if unknown:
        raise EinopsError(f"axis {unknown[0]} is not used in transform")
    if gone and how in ("rearrange", "repeat"):
        raise EinopsError(f"identifiers only on one side of {how}: {gone}")
    missing = {axis for axis in new if how != "repeat" or (axis not in sizes and not axis[0].isdigit())}
    if missing:
        raise EinopsError(f"identifiers only on the right side, without a size: {missing}")


def _reduce(tensor: Tensor, how: Reduction, axes: tuple[int, ...]) -> Tensor:
    if not isinstance(how, str):
        return how(tensor, axes)
    if how == "mean" and not tensor.is_floating_point():
        raise NotImplementedError("reduce_mean is not available for non-floating tensors")
    if how in _AT_ONCE:
        return _AT_ONCE[how](tensor, axes)
    if how not in _ONE_BY_ONE:
        raise EinopsError(f"unknown reduction {how}")
    for axis in reversed(axes):
        tensor = _ONE_BY_ONE[how](tensor, axis)
    return tensor


def _add(tensor: Tensor, lengths: dict[int, int], dimensions: int) -> Tensor:
    if not lengths:
        return tensor
    for at in lengths:
        tensor = tensor.unsqueeze(at)
    return tensor.expand([lengths.get(at, -1) for at in range(dimensions)])


def stacked(tensor: Tensor | Sequence[Tensor]) -> Tensor:
    """A list of tensors as one, in a new first dimension."""
    return tensor if isinstance(tensor, Tensor) else torch.stack(list(tensor))
