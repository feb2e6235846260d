"""Puts a refused call to torch once more as it would really be made: in its own layout, with nobody watching."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from contextlib import nullcontext, suppress
from math import prod
from threading import Thread
from typing import Any, Final, TypeAlias

import torch
from torch.overrides import resolve_name
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

from analyzer import oracle
from analyzer.capture.assumed_values import plausible
from analyzer.capture.refusals.repro_script import Call
from analyzer.capture.tensor import Abstract
from analyzer.capture.wrapper_subclasses import has_values
from analyzer.ir import walk
from analyzer.oracle.operands import KEPT_SIZE, regular

_OF_MATRICES: Final = ("linalg.", "torch.linalg.")
"""How words begin that may be about a matrix that cannot be factored."""
Shaped: TypeAlias = Callable[[torch.Tensor], torch.Tensor]
_SAID: dict[Any, tuple[str, str]] = {}


def _as_it_is(tensor: torch.Tensor) -> torch.Tensor:
    return tensor


def words(told: str, call: Call) -> str:
    """The words that a person will see for a call that said `told` while it was captured.

    `at::isTensorSubclassLike` is true of every tensor while a mode is on, and composite functions ask it: `matmul` of
    a batch with a batch of one folds into `mm` under a mode and calls `bmm` without. So the function that the person
    called is put to torch once more, on real operands in the layout, and with the need of gradients, that they had.
    Other words count only where a mode that does nothing brings the captured ones back: then watching alone is why.
    """
    function, args, kwargs = call
    if not resolve_name(function):  # a function of somebody else may do more than compute
        return told
    if not _can_be_put(call):
        return told
    key = (function, torch.is_grad_enabled(), walk.key(args, _key), walk.key(kwargs, _key))
    said = _SAID.get(key)
    if said is None:
        said = _SAID[key] = _said(call)
    alone, watched = said
    return alone if alone and watched == told else told


def raised(call: Call) -> str:
    """What a call says on operands in the layout and with the integers that they have; "" if it runs.

    The oracle's operands are contiguous, and its integers are made up. Matrices that are not known, which are ones,
    are put once more as such that can be inverted and factored.
    """
    said = _said(call)[0] if _can_be_put(call) else ""
    then = said and _said(call, regular)[0]
    return then if said.startswith(_OF_MATRICES) else then and said


def runs_on_ones(call: Call) -> bool:
    """Whether a call that is refused runs if all integers in it are ones: then it is their values that it refuses."""
    return bool(resolve_name(call[0])) and _can_be_put(call) and not _said(call, _integers_as_ones)[0]


def _can_be_put(call: Call) -> bool:
    """Whether a real tensor can be made in the place of every one of the call."""
    return all(has_values(leaf) for leaf in tree_leaves(call[1:]) if isinstance(leaf, torch.Tensor))


def _integers_as_ones(tensor: torch.Tensor) -> torch.Tensor:
    exact = tensor.dtype.is_floating_point or tensor.dtype.is_complex or tensor.dtype == torch.bool
    return tensor if exact or tensor.layout != torch.strided else torch.ones_like(tensor)


class _Watching(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Does nothing."""

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # as of `tracer.Tracer`

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return func(*args, **(kwargs or {}))


def _said(call: Call, shaped: Shaped = _as_it_is) -> tuple[str, str]:
    """What the call raises unwatched and watched; "" if nothing.

    In a thread of its own, as the state of the dispatcher is a thread's: inside of a mode it is not what it was above.
    """
    said: list[str] = []
    gradients = torch.is_grad_enabled()

    def run() -> None:
        with torch.set_grad_enabled(gradients):
            said.append(_raised(call, nullcontext(), shaped))
            said.append(_raised(call, _Watching(), shaped))  # type: ignore[no-untyped-call]

    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        thread = Thread(target=run)
        thread.start()
        thread.join()
    return said[0], said[1]


def _raised(call: Call, watch: Any, shaped: Shaped) -> str:
    function, args, kwargs = call
    leaves = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)]
    sizes: dict[int, int] = {}
    small = sum(prod(leaf.shape) for leaf in leaves) > oracle.EXACT_LIMIT
    made: dict[int, torch.Tensor] = {}

    def real(arg: Any) -> Any:
        if isinstance(arg, torch.Tensor):
            return made.setdefault(id(arg), _shaped(_real(arg, sizes if small else None), shaped))
        return sizes.get(arg, arg) if type(arg) is int else arg

    try:
        given = tree_map(real, (args, kwargs))
        with watch:
            function(*given[0], **given[1])
    except Exception as error:  # whatever a function of torch may raise: nothing but its words is of interest
        return oracle.words(error)
    return ""


def _shaped(value: torch.Tensor, shaped: Shaped) -> torch.Tensor:
    """Other values in the same layout."""
    other = shaped(value)
    return other if other is value or value.layout != torch.strided else _laid(other, value.stride())


def _real(tensor: torch.Tensor, sizes: dict[int, int] | None) -> torch.Tensor:
    """A real tensor in the place of one of the capture; `sizes` is kept where it is to be small."""
    if sizes is None:
        value = plausible(tensor) if type(tensor) is Abstract else tensor.detach()
        made = _laid(value, tensor.stride()) if value.layout == torch.strided else value
    else:
        fill = torch.ones if tensor.dtype.is_floating_point else torch.zeros
        value = fill([_shrunk(n, sizes) for n in tensor.shape], dtype=tensor.dtype)
        made = _laid(value, _like(tensor.stride(), value.shape))
    return made.requires_grad_(tensor.requires_grad)


def _shrunk(size: int, sizes: dict[int, int]) -> int:
    """A small size for a large one; a multiple of 16 stays one, as some kernels want their rows aligned."""
    if size <= KEPT_SIZE:
        return size
    return sizes.setdefault(size, KEPT_SIZE * (2 + len(sizes)) + (size % KEPT_SIZE > 0))


def _laid(value: torch.Tensor, stride: tuple[int, ...]) -> torch.Tensor:
    """A copy in the given layout, expanded where a stride is 0."""
    kept = value[tuple([slice(None, 1) if s == 0 else slice(None) for s in stride])]
    made = torch.empty_strided(kept.shape, stride, dtype=value.dtype)
    with suppress(RuntimeError):  # windows over one memory, which cannot be written: no matter what they hold
        made.copy_(kept)
    return made.expand(value.shape)


def _like(stride: tuple[int, ...], shape: torch.Size) -> tuple[int, ...]:
    """A dense layout with the dimensions in the same order in memory."""
    made, step = [0] * len(stride), 1
    for dim in sorted(range(len(stride)), key=lambda d: (stride[d], -d)):
        if stride[dim]:
            made[dim], step = step, step * shape[dim]
    return tuple(made)


def _key(end: Any) -> Any:
    if isinstance(end, torch.Tensor):
        return (tuple(end.shape), end.stride(), end.dtype, end.requires_grad)
    return (type(end), end) if type(end) in (int, float, bool, str, torch.dtype) else type(end)
