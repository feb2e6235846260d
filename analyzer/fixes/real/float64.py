"""Runs code in float64 whatever dtypes it names: what a run in narrower dtypes is compared with."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Final

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from analyzer import oracle
from analyzer.capture import Loaded
from analyzer.ir import walk

_FRESH: Final = ("lift_fresh", "lift_fresh_copy")
"""What `torch.tensor` ends in: a view by its schema, but of memory that nobody else has."""
_BITS: Final = "view.dtype"
_INTEGERS: Final = (torch.int16, torch.int32)
"""Integers that int64 holds, and that are no codes of quantised weights."""


def in_float64(loaded: Loaded, *, integers: bool = False) -> Loaded:
    """The model and its inputs with every float in float64, every complex number in complex128; in place.

    Tensors that share memory share it afterwards. With `integers`, those are in int64.
    """
    wide = _Memories(integers)
    for module in loaded.module.modules():
        for parameter in module._parameters.values():
            if parameter is not None:
                parameter.data = wide(parameter.data)
        for name, buffer in module._buffers.items():
            module._buffers[name] = None if buffer is None else wide(buffer)
    return replace(loaded, inputs=walk.changed(loaded.inputs, torch.Tensor, wide))


class _Memories:
    """Widens tensors, each memory once."""

    def __init__(self, integers: bool) -> None:
        self._integers = integers
        self._made: dict[tuple[int, torch.dtype], tuple[torch.Tensor, torch.Tensor]] = {}

    def __call__(self, tensor: torch.Tensor) -> torch.Tensor:
        if _wide_dtype(tensor.dtype, self._integers) == tensor.dtype or tensor.layout != torch.strided:
            return _wide(tensor, self._integers)
        memory = tensor.detach().untyped_storage()
        key = memory.data_ptr(), tensor.dtype
        if key not in self._made:
            whole = torch.empty(0, dtype=tensor.dtype).set_(memory)
            self._made[key] = (whole, _wide(whole, self._integers))
        return self._made[key][1].as_strided(tensor.shape, tensor.stride(), tensor.storage_offset())


@contextmanager
def computing_in_float64(digits: int = 0, seed: int = 0, *, integers: bool = False) -> Iterator[None]:
    """While this lasts, every float that is made or read is one of float64, and every cast to another dtype none.

    With `digits`, each result is rounded to so many binary digits, of any size, up or down by chance: what comes of it
    says how far apart two runs in a dtype of these digits may be. With `integers`, every integer is one of int64.
    """
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        with _Wide(digits, seed, integers):
            yield
    finally:
        torch.set_default_dtype(before)


class _Wide(TorchDispatchMode):
    def __init__(self, digits: int, seed: int, integers: bool) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._integers = integers
        self._digits, self._chance = digits, torch.Generator().manual_seed(seed)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if str(func).endswith(_BITS):
            raise NotImplementedError("bits are read as another dtype, which float64 has not")
        if oracle.is_view(func):
            made = func(*args, **kwargs)
            return _wide(made, self._integers) if func.overloadpacket.__name__ in _FRESH else made
        narrow: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}

        def read(tensor: torch.Tensor) -> torch.Tensor:
            wide = _wide(tensor, self._integers)
            if wide is not tensor:
                narrow[id(wide)] = (tensor, wide)
            return wide

        given = walk.changed(
            walk.changed((args, kwargs), torch.Tensor, read), torch.dtype, lambda d: _wide_dtype(d, self._integers)
        )
        result = _called(func, *given)
        for wide in walk.leaves(_written(func, *given), torch.Tensor):
            if id(wide) in narrow:
                narrow[id(wide)][0].copy_(wide)

        def back(tensor: torch.Tensor) -> torch.Tensor:
            return narrow[id(tensor)][0] if id(tensor) in narrow else self._rounded(tensor)

        return walk.changed(result, torch.Tensor, back)

    def _rounded(self, tensor: torch.Tensor) -> torch.Tensor:
        if self._digits and tensor.dtype == torch.float64 and tensor.layout == torch.strided:
            mantissa, exponent = torch.frexp(tensor)
            chance = torch.rand(tensor.shape, generator=self._chance, dtype=torch.float64)
            return tensor.copy_(
                torch.ldexp(torch.floor(mantissa * 2.0**self._digits + chance), exponent - self._digits)
            )
        return tensor


def _called(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """What an operator gives; one without a kernel for float64 computes in float32."""
    try:
        return func(*args, **kwargs)
    except (RuntimeError, ValueError):
        if func._schema.is_mutable:
            raise
        narrow = walk.changed((args, kwargs), torch.Tensor, lambda t: t.float() if t.dtype == torch.float64 else t)
        narrow = walk.changed(narrow, torch.dtype, lambda dtype: torch.float32 if dtype == torch.float64 else dtype)
        try:
            result = func(*narrow[0], **narrow[1])
        except (RuntimeError, ValueError):
            result = None
        if result is None:
            raise
        return walk.changed(result, torch.Tensor, _wide)


def _written(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[object]:
    """The arguments that an operator writes into: it is none that only makes a view."""
    named = {
        one.name: at for at, one in enumerate(func._schema.arguments) if one.alias_info and one.alias_info.is_write
    }
    return [kwargs.get(name, args[at] if at < len(args) else None) for name, at in named.items()]


def _wide(tensor: torch.Tensor, integers: bool = False) -> torch.Tensor:
    dtype = _wide_dtype(tensor.dtype, integers)
    return tensor if dtype == tensor.dtype else tensor.to(dtype)


def _wide_dtype(dtype: torch.dtype, integers: bool = False) -> torch.dtype:
    if dtype.is_complex:
        return torch.complex128
    if integers and dtype in _INTEGERS:
        return torch.int64
    return torch.float64 if dtype.is_floating_point else dtype
