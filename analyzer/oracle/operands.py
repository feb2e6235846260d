"""Makes real operands for a call that is put to a kernel: exact or shrunken, and harmless in their values."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from math import prod
from typing import Any, Final

import torch

from analyzer.ir import walk
from analyzer.ir.graph import DtypeArg, Spec

KEPT_SIZE: Final = 16
"""Sizes up to this one are kept; larger ones become 17, 18, ..., or 32, 48, ..., equal sizes staying equal."""
LARGE: Final = 1 << 22
"""Elements beyond which the size that a call names is shrunken as those of its operands are."""
_PUTS: Final = ("aten.index_put.", "aten.index_put_.", "aten._index_put_impl_.", "aten._unsafe_index_put.")


@dataclass(frozen=True, slots=True)
class Way:
    """How operands are made: in which sizes, and what is in them."""

    step: int
    """0: sizes as they are; else large ones become KEPT_SIZE and one step, two steps, ... more."""
    fill: Callable[..., torch.Tensor]


def real(arg: Any, sizes: dict[int, int], way: Way) -> Any:
    """The argument with real tensors in the place of specs; `sizes` keeps equal shrunken sizes equal over a call."""
    kind = type(arg)
    if kind is Spec:
        shape = [_shrunk(n, sizes, way.step) for n in arg.shape] if way.step else arg.shape
        return way.fill(shape, dtype=getattr(torch, arg.dtype))
    if kind is tuple and way.step and arg and all(type(n) is int for n in arg) and prod(arg) > LARGE:
        return [_shrunk(n, sizes, way.step) for n in arg]
    if kind is tuple:
        return [real(item, sizes, way) for item in arg]
    if kind is DtypeArg:
        return getattr(torch, arg.name)
    if kind is int and way.step:
        return sizes.get(arg, arg)
    return arg


def fewer(arg: Any) -> Any:
    """The arguments of a call that makes a large tensor, with small numbers for the large ones, in their order."""
    found = {n for n in walk.leaves(arg, object) if type(n) in (int, float)}
    large: list[Any] = sorted(n for n in found if n > KEPT_SIZE)  # type: ignore[operator]
    small = {n: type(n)(KEPT_SIZE + 1 + at) for at, n in enumerate(large)}
    return walk.changed(arg, object, lambda n: small.get(n, n) if type(n) in (int, float) else n)


def elements(arg: object) -> int:
    """How many elements the specs in an argument have."""
    return sum(prod(spec.shape) for spec in walk.leaves(arg, Spec))


def numel(result: object) -> int:
    """How many elements the tensors that a call gave have."""
    return sum(tensor.numel() for tensor in walk.leaves(result, torch.Tensor))


def chosen(op: str, args: tuple[Any, ...]) -> tuple[Any, ...]:
    """The arguments with places in the stead of a mask, as many as there are values: an empty mask has none for them.

    One value alone goes another way, which casts it, so that it keeps its mask.
    """
    masks = [i for i in args[1] if type(i) is Spec and i.dtype == "bool"] if op.startswith(_PUTS) else []
    if len(masks) != 1 or len(args[1]) != 1 or prod(args[2].shape) == 1:
        return args
    (mask,), values = masks, args[2].shape
    rest = len(args[0].shape) - len(mask.shape)
    places = Spec("int64", values[:1] if len(values) > rest else (1,))
    return (args[0], (places,) * len(mask.shape), *args[2:])


def regular(tensor: torch.Tensor) -> torch.Tensor:
    """A float or complex tensor with a heavy diagonal in its last two dimensions, to be inverted and factored."""
    inexact = tensor.dtype.is_floating_point or tensor.dtype.is_complex
    if not inexact or tensor.dim() < 2 or tensor.dtype.itemsize == 1:
        return tensor
    made = tensor.clone()
    made.diagonal(dim1=-2, dim2=-1).add_(made.shape[-1])
    return made


def _ones(shape: Any, dtype: torch.dtype) -> torch.Tensor:
    whole = not dtype.is_floating_point or dtype.itemsize == 1
    return torch.zeros(shape, dtype=dtype) if whole else torch.ones(shape, dtype=dtype)


def _regular_ones(shape: object, dtype: torch.dtype) -> torch.Tensor:
    return regular(_ones(shape, dtype))


def _shrunk(size: int, sizes: dict[int, int], step: int) -> int:
    if size <= KEPT_SIZE:
        return size
    return sizes.setdefault(size, KEPT_SIZE + step * (1 + len(sizes)))


def _one_based(shape: Any, dtype: torch.dtype) -> torch.Tensor:
    return regular(torch.ones(shape, dtype=dtype))


SHRUNK: Final = Way(1, _ones)
ALIGNED: Final = Way(KEPT_SIZE, _ones)
"""For products that want rows of a multiple of 16 bytes, such as grouped ones."""
EXACT: Final = Way(0, _ones)
REGULAR: Final = Way(0, _regular_ones)
UNTOUCHED: Final = Way(0, torch.empty)
NOWHERE: Final = Way(0, partial(torch.empty, device="meta"))
ONE_BASED: Final = Way(0, _one_based)
"""For divisors, and for LAPACK's pivots, which count from one: at zero some kernels write outside of their memory."""
