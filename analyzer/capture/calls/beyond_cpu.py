"""Functions that the CPU lacks in a dtype: what the meta device, which has them, says of their results."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import torch
from torch.overrides import resolve_name
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes
from torch.utils._pytree import tree_map_only

from analyzer import oracle
from analyzer.capture.tensor import Abstract, Cell, dtype_name, spec_of
from analyzer.capture.tracing.outcomes import as_specs, on_meta, results, tensors
from analyzer.ir.graph import Ref
from analyzer.oracle import half_fft, operator_dtypes


def has(device: str, func: Any, args: Any, kwargs: Any) -> bool:
    """Whether a device is known to have a function that the CPU refuses for its dtypes."""
    dtypes = {dtype_name(t.dtype) for t in tensors((args, kwargs))}
    return operator_dtypes.has_function(device, resolve_name(func) or "", dtypes)


def in_own_dtypes(device: str, func: Any, args: Any, kwargs: Any, result: Any) -> tuple[str, Any] | None:
    """What the device says of the sizes, and the result of a call that ran in another dtype as it would give it.

    The meta device, which the CPU's check lets pass, tells the dtypes; None where it does not run either.
    """
    asking = _Asking(device)
    shaped = _on_meta(func, args, kwargs, asking)
    if shaped is None:
        return None
    dtypes = iter([t.dtype for t in results(shaped)])
    return asking.said, tree_map_only(Abstract, lambda t: t.like(next(dtypes)), result)


def shaped(func: Any, args: Any, kwargs: Any) -> Any:
    """The result of a call in the dtypes that it has, without values; None where no meta kernel tells it."""
    made = _on_meta(func, args, kwargs, _Asking("meta"))
    return tree_map_only(torch.Tensor, lambda t: Abstract.make(spec_of(t), t.stride(), Ref(""), Cell()), made)


def _on_meta(func: Any, args: Any, kwargs: Any, asking: _Asking) -> Any:
    with _disable_current_modes(), torch._C.DisableTorchFunction(), suppress(*oracle.META_ERRORS), asking:
        return func(*on_meta(args), **on_meta(kwargs))
    return None


class _Asking(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Keeps what a device says of the sizes in an operation that a function on the meta device makes."""

    def __init__(self, device: str) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.said = ""
        self._device = device

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        refused = half_fft.find(self._device, str(func), as_specs(args))
        self.said = self.said or (refused[0] if refused else "")
        return func(*args, **(kwargs or {}))
