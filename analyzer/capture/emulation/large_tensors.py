"""Gives large tensors no memory while a model is built: what is large on the CPU is made on the meta device."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any, Final

import torch

from analyzer.capture.tensor import LARGE
from analyzer.ir import walk

TOGETHER: Final = 1 << 27
"""Bytes that all tensors of more than a megabyte may take, as a constructor may make a table for each layer."""
_SOME: Final = 1 << 20
_FEW: Final = 1 << 18
"""Elements; what cannot have more is not looked at."""
_PLAIN: Final = (torch.Tensor, torch.nn.Parameter, torch.nn.Buffer)
_MAKES: Final = frozenset(
    {"arange", "empty", "empty_strided", "eye", "full", "linspace", "logspace", "ones", "rand", "randint", "randn",
     "randperm", "tril_indices", "triu_indices", "zeros"}
)  # fmt: skip
_FROM_DATA: Final = frozenset({"as_tensor", "asarray", "from_numpy", "frombuffer", "tensor"})
_ATTRIBUTES: Final = frozenset({"__get__", "__set__"})


class LargeTensors:
    """Runs the calls of a constructor. `home` is where a tensor is made that names no device."""

    def __init__(self, home: str) -> None:
        self._home = home
        self._taken = 0
        self._spilled = False
        """Whether a tensor that belongs on the CPU is on the meta device, so that the two may meet in a call."""

    def run(self, func: Callable[..., Any], name: str, args: Any, kwargs: dict[str, Any]) -> Any:
        """What a call gives: made for real unless it is large."""
        if name in _ATTRIBUTES:
            return func(*args, **kwargs)
        if name in _FROM_DATA and (shape := self._of_data(args, kwargs)) is not None:
            return shape
        given = [t for t in walk.leaves((args, kwargs), torch.Tensor) if type(t) in _PLAIN]
        here = [t for t in given if t.device.type == "cpu"]
        if here or self._is_made_here(name, kwargs):
            return self._run_here(func, name, args, kwargs, given, here)
        return func(*args, **kwargs)

    def _run_here(
        self, func: Callable[..., Any], name: str, args: Any, kwargs: dict[str, Any], given: list[torch.Tensor],
        here: list[torch.Tensor],
    ) -> Any:  # fmt: skip
        """What a call gives that is made, or has operands, on the CPU: those are `here`, of all that are `given`."""
        if self._spilled and len(here) < len(given) and any(t.dim() for t in here):
            return self._without_values(func, name, args, kwargs)
        if _writes_into(name, args, _is_large):
            return _written(name, args)  # it has values that nobody will read
        made = _on_meta(func, args, kwargs) if _most(here, args, kwargs) > _FEW else None
        if not self._is_too_much(made):
            return func(*args, **kwargs)
        self._spilled = True
        return made

    def _is_made_here(self, name: str, kwargs: dict[str, Any]) -> bool:
        device = kwargs.get("device")
        if device is None:
            return self._home == "cpu" and name in _MAKES
        return torch.device(device).type == "cpu" if isinstance(device, (str, torch.device)) else False

    def _of_data(self, args: Any, kwargs: dict[str, Any]) -> torch.Tensor | None:
        """A tensor without values for a large array of numpy's; else None."""
        data = args[0] if args else None
        size = getattr(data, "nbytes", 0)
        if isinstance(data, torch.Tensor) or not isinstance(size, int) or size <= LARGE:
            return None
        try:
            seen = torch.from_numpy(data)
        except TypeError:
            return None
        self._spilled = True
        return torch.empty(seen.shape, dtype=kwargs.get("dtype") or seen.dtype, device="meta")

    def _is_too_much(self, made: object) -> bool:
        sizes = [t.numel() * t.itemsize for t in walk.leaves(made, torch.Tensor)]
        size = sum(size for size in sizes if size > _SOME)
        if size > LARGE or (self._taken + size > TOGETHER and size):
            return True
        self._taken += size
        return False

    def _without_values(self, func: Callable[..., Any], name: str, args: Any, kwargs: dict[str, Any]) -> Any:
        """A call in which a tensor on the CPU meets one that only stands on the meta device because it is large."""
        if _writes_into(name, args, _is_here):
            return _written(name, args)
        made = _on_meta(func, args, kwargs)
        if made is None:
            return func(*args, **kwargs)
        return _written(name, args) if _writes_into(name, args, torch.is_tensor) else made


def _writes_into(name: str, args: Any, which: Callable[[Any], bool]) -> bool:
    """Whether a method, by its name, writes into what it is called on, and that is one of which `which` is true."""
    if name.startswith("__"):
        writes = name == "__setitem__" or (name.startswith("__i") and name not in _NO_WRITES)
    else:
        writes = name.endswith("_")
    return writes and bool(args) and which(args[0])


_NO_WRITES: Final = ("__invert__", "__index__", "__int__")


def _written(name: str, args: Any) -> Any:
    """What a method that writes gives back."""
    return None if name == "__setitem__" else args[0]


def _is_here(value: Any) -> bool:
    return isinstance(value, torch.Tensor) and not value.is_meta


def _is_large(value: object) -> bool:
    return type(value) in _PLAIN and not value.is_meta and value.numel() * value.itemsize > LARGE  # type: ignore[attr-defined]


def _most(tensors: list[torch.Tensor], args: Any, kwargs: dict[str, Any]) -> int:
    """A bound on the elements of what a call gives: of the outer product, times all numbers that it names, squared."""
    numbers = [abs(n) for n in walk.leaves((args, kwargs), int) if n]
    return prod(max(t.numel(), 1) for t in tensors) * prod(numbers) ** 2


def _on_meta(func: Callable[..., Any], args: Any, kwargs: dict[str, Any]) -> Any:
    """What a call gives without values; None if that depends on values."""
    given, named = walk.changed((args, kwargs), torch.Tensor, lambda t: t if t.is_meta else t.to("meta"))
    if "device" in named or not any(True for _ in walk.leaves((args, kwargs), torch.Tensor)):
        named["device"] = torch.device("meta")
    try:
        return func(*given, **named)
    except Exception:  # whatever a call without values may raise
        return None
