"""Asks a device's own autocast kernel what it does to a call, on a machine without that device; keeps no op list."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from itertools import count
from typing import Any, Final, NoReturn, TypeAlias

import torch
from torch.utils._python_dispatch import _disable_current_modes

from analyzer import oracle
from analyzer.ir import walk

_SET_ENABLED: Final = torch.set_autocast_enabled
_SET_DTYPE: Final = torch.set_autocast_dtype
_CLEAR: Final = torch.clear_autocast_cache
_TURNS: Final = count(1)
_CAST: Final = ("aten._to_copy.default", "aten.to.dtype")


@dataclass(frozen=True, slots=True)
class Slot:
    """Stands for tensor number `index` of the call; `dtype` is what it is cast to, None if it stays as it is.

    Casts are made in the order of `turn`: mostly the last operand's first, as compilers like to evaluate arguments.
    """

    index: int
    dtype: torch.dtype | None
    turn: int = 0


@dataclass(frozen=True, slots=True)
class Treatment:
    """The call that autocast makes in place of the one it was given; tensors are slots."""

    op: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    widens: bool
    """Whether a dtype was given to the operator that nobody asked for, as softmax gets float32: it casts inside."""


Answer: TypeAlias = Treatment | str
"""A string is the words in which the autocast kernel refuses the call."""
_ANSWERS: dict[Any, Answer] = {}


def overloads(device: str) -> Iterator[Any]:
    """Every operator overload, of any library, that has an autocast kernel for a device: as the dispatcher says."""
    for name in sorted(torch._C._dispatch_get_registrations_for_dispatch_key(f"Autocast{device.upper()}")):
        library, _, rest = name.partition("::")
        packet, _, overload = rest.partition(".")
        yield getattr(getattr(getattr(torch.ops, library), packet), overload or "default")


def treatment(device: str, op: Any, args: tuple[Any, ...], kwargs: dict[str, Any], lower: torch.dtype) -> Answer:
    """What the autocast kernel of `device` does to a call, `lower` being its dtype; each signature is asked once.

    The kernel is run on tensors that say they are on the device and own no memory, and stopped before it reaches
    the operator. So nothing but dtypes decides, as in aten/src/ATen/autocast_mode.h.
    """
    key = (device, lower, op, walk.key(args, _key), walk.key(kwargs, _key))
    answer = _ANSWERS.get(key)
    if answer is None:
        answer = _ANSWERS[key] = _ask(device, op, args, kwargs, lower)
    return answer


@cache
def keeps_gradients() -> bool:
    """Whether a weight's kept cast has gradients although it was made under `no_grad`: since torch 2.10.

    Asked of the installed torch (pytorch#165068): one that was kept without is used later where gradients are on.
    It decides more than gradients: matmul folds a batch into `mm` for a weight that needs one, else calls `bmm`.
    """
    with _disable_current_modes(), torch.inference_mode(False), _on("cpu", torch.bfloat16), _keeping():
        weight = torch.ones(1, 1, requires_grad=True)
        with torch.no_grad():
            torch.ops.aten.mm(weight, weight)
        with torch.enable_grad():
            return bool(torch.ops.aten.mm(weight, weight).requires_grad)


def registry(namespace: str, key: str) -> Any:
    """A `torch.library.Library` that puts kernels at a dispatch key until its `_destroy()`."""
    make: Any = torch.library.Library
    return make(namespace, "IMPL", key)


class _Probe(torch.Tensor):
    """Says that it is on a device, owns no memory, and can do nothing but be cast."""

    number: int
    first: torch.dtype
    turn: int

    __torch_function__: Any = torch._C._disabled_torch_function_impl

    @staticmethod
    def make(dtype: torch.dtype, device: Any, index: int, first: torch.dtype | None = None) -> _Probe:
        made: Any = torch.Tensor._make_wrapper_subclass(_Probe, (1,), dtype=dtype, device=device)
        made.number, made.first, made.turn = index, first or dtype, next(_TURNS) if first else 0
        return made  # type: ignore[no-any-return]

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:  # type: ignore[override]
        if str(func) in _CAST:
            dtype = (kwargs or {}).get("dtype") or args[1]
            return cls.make(dtype, args[0].device, args[0].number, args[0].first)
        raise NotImplementedError(f"autocast runs {func} before the operator")


class _Reached(BaseException):
    """Thrown where the autocast kernel calls the operator; no handler of the kernel's may catch it."""


def _ask(device: str, op: Any, args: tuple[Any, ...], kwargs: dict[str, Any], lower: torch.dtype) -> Answer:
    reached: list[tuple[Any, Any, Any]] = []
    numbers = count()
    probes = walk.changed((args, kwargs), torch.Tensor, lambda tensor: _Probe.make(tensor.dtype, device, next(numbers)))
    try:
        with _disable_current_modes(), torch.inference_mode(False), _watched(op, device, reached), _on(device, lower):
            op(*probes[0], **probes[1])
    except _Reached:
        made = reached[0]
        return Treatment(*made, widens=_dtypes(made[1:]) != _dtypes((args, kwargs)))
    except (RuntimeError, TypeError) as error:
        return oracle.words(error)
    raise RuntimeError(f"the autocast kernel of {op} for {device} did not call it")


@contextmanager
def _watched(op: Any, device: str, reached: list[tuple[Any, Any, Any]]) -> Iterator[None]:
    """While this lasts, every overload of the operator stops at the key below autocast and tells what it was given."""
    library, name = op._schema.name.split("::")
    packet = getattr(getattr(torch.ops, library), name)
    watch = registry(library, f"Autograd{device.upper()}")
    try:
        for overload in packet.overloads():
            watch.impl(name if overload == "default" else f"{name}.{overload}", _watcher(packet, overload, reached))
        yield
    finally:
        watch._destroy()


def _watcher(packet: Any, overload: str, reached: list[tuple[Any, Any, Any]]) -> Any:
    def watcher(*args: Any, **kwargs: Any) -> NoReturn:
        reached.append((getattr(packet, overload), *walk.changed((args, kwargs), _Probe, _slot)))
        raise _Reached

    return watcher


def _slot(probe: _Probe) -> Slot:
    return Slot(probe.number, probe.dtype if probe.dtype != probe.first else None, probe.turn)


def _dtypes(arg: Any) -> list[torch.dtype]:
    return list(walk.leaves(arg, torch.dtype))


@contextmanager
def _on(device: str, lower: torch.dtype) -> Iterator[None]:
    before = torch.is_autocast_enabled(device), torch.get_autocast_dtype(device)
    _SET_ENABLED(device, True)
    _SET_DTYPE(device, lower)
    try:
        yield
    finally:
        _SET_ENABLED(device, before[0])
        _SET_DTYPE(device, before[1])


@contextmanager
def _keeping() -> Iterator[None]:
    before = torch.is_autocast_cache_enabled()
    torch.set_autocast_cache_enabled(True)
    try:
        yield
    finally:
        torch.set_autocast_cache_enabled(before)
        _CLEAR()


def _key(end: Any) -> Hashable:
    if isinstance(end, torch.Tensor):
        return end.dtype
    try:
        hash(end)
    except TypeError:
        return object()  # never asked again
    return (type(end), end)
