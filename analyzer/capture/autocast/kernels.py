"""What captures and real runs share of a device's autocast: kernels at a dispatch key, and the rule of kept casts."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from operator import attrgetter
from typing import Any, Final

import torch
from torch._C import DispatchKey, DispatchKeySet

from analyzer.capture.autocast import policies
from analyzer.ir import walk

_BELOW: Final = torch._C._dispatch_keyset_full_after(DispatchKey.AutocastCPU)

Kernel = Callable[..., Any]
Cast = Callable[[torch.Tensor, torch.dtype], torch.Tensor]


class Kernels:
    """Kernels at one dispatch key for every operator that the autocast of a device treats."""

    def __init__(self, key: str) -> None:
        self._key = key
        self._libraries: dict[str, Any] = {}
        self._keeps_gradients = False

    def __bool__(self) -> bool:
        return bool(self._libraries)

    def library(self, namespace: str) -> Any:
        """Where kernels for the operators of a namespace are put."""
        if namespace not in self._libraries:
            self._libraries[namespace] = policies.registry(namespace, self._key)
        return self._libraries[namespace]

    def install(self, device: str, kernel: Callable[[Any], Kernel]) -> None:
        """Put a kernel in place for each operator of the device; what only the CPU's autocast knows passes."""
        self._keeps_gradients = policies.keeps_gradients()
        ours = dict.fromkeys(policies.overloads(device))
        for op in dict.fromkeys([*ours, *policies.overloads("cpu")]):
            namespace, name = op._schema.name.split("::")
            full = f"{name}.{op._overloadname}" if op._overloadname != "default" else name
            self.library(namespace).impl(full, kernel(op) if op in ours else _passing(op), with_keyset=True)

    def remove(self) -> None:
        """Put back what stood at the key before."""
        for library in self._libraries.values():
            library._destroy()
        self._libraries.clear()

    def keeps(self, tensor: torch.Tensor, dtype: torch.dtype, lower: torch.dtype) -> bool:
        """Whether autocast keeps a cast until its outermost region ends: by `cached_cast` in ATen/autocast_mode.cpp."""
        return (
            dtype == lower
            and tensor.dtype == torch.float32
            and tensor.requires_grad
            and tensor.is_leaf
            and not tensor._is_view()
            and torch.is_autocast_cache_enabled()
            and not (self._keeps_gradients and torch.is_inference_mode_enabled())
        )

    def recording(self) -> AbstractContextManager[object]:
        """Around a cast that is kept: whether it has gradients is a matter of the release (`keeps_gradients`)."""
        return torch.enable_grad() if self._keeps_gradients else nullcontext()


def filled(answer: policies.Treatment, made: list[Any], cast: Cast) -> tuple[Any, Any]:
    """The arguments of a call as autocast passes them on: `made` are its tensors, cast in the order of its kernel."""
    for slot in sorted(walk.leaves((answer.args, answer.kwargs), policies.Slot), key=attrgetter("turn")):
        if slot.dtype is not None:
            made[slot.index] = cast(made[slot.index], slot.dtype)
    args, kwargs = walk.changed((answer.args, answer.kwargs), policies.Slot, lambda slot: made[slot.index])
    return args, kwargs


def _passing(op: Any) -> Kernel:
    """For an operator that only the CPU's autocast knows: as if no autocast kernel were there."""

    def kernel(keys: DispatchKeySet, *args: Any, **kwargs: Any) -> Any:
        return op.redispatch(keys & _BELOW, *args, **kwargs)

    return kernel
