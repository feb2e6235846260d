"""Lets a device's autocast act on real tensors on the CPU, by the table that the capture uses."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from operator import attrgetter
from typing import Any, Final

import torch
from torch._C import DispatchKey, DispatchKeySet

from analyzer.capture.autocast import policies, torch_autocast_state
from analyzer.ir import walk

_KEY: Final = "AutocastCPU"
_OFF: Final = DispatchKeySet(DispatchKey.AutocastCPU)
_BELOW: Final = torch._C._dispatch_keyset_full_after(DispatchKey.AutocastCPU)


@contextmanager
def autocast_of(device: str) -> Iterator[None]:
    """While this lasts, autocast starts off, and casts real CPU tensors as it would on `device`; then all is as before.

    What stands at the CPU's dispatch key is replaced by kernels that ask the device's own what to do. For the CPU
    itself nothing is.
    """
    if device == "cpu":
        with torch_autocast_state.clean_state():
            yield
        return
    kernels = _Kernels(device)
    with ExitStack() as stack:
        stack.callback(kernels.remove)
        stack.enter_context(torch_autocast_state.clean_state())
        stack.enter_context(
            torch_autocast_state.standing_in(device, kernels.switched, kernels.casts.clear, lambda *_: None)
        )
        yield


class _Kernels:
    """The kernels of one device at the CPU's key, and the casts of weights that are kept."""

    def __init__(self, device: str) -> None:
        self._device = device
        self._libraries: dict[str, Any] = {}
        self.casts: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}

    def switched(self, on: bool) -> None:
        """Kernels are put in place when autocast is first switched on."""
        if not on or self._libraries:
            return
        ours = dict.fromkeys(policies.overloads(self._device))
        for op in dict.fromkeys([*ours, *policies.overloads("cpu")]):
            namespace, name = op._schema.name.split("::")
            library = self._libraries.get(namespace)
            if library is None:
                library = self._libraries[namespace] = policies.registry(namespace, _KEY)
            full = f"{name}.{op._overloadname}" if op._overloadname != "default" else name
            library.impl(full, self._kernel(op) if op in ours else _passing(op), with_keyset=True)

    def remove(self) -> None:
        """Put back torch's own kernels."""
        for library in self._libraries.values():
            library._destroy()
        self._libraries.clear()
        self.casts.clear()

    def _kernel(self, op: Any) -> Callable[..., Any]:
        def kernel(_: object, *args: Any, **kwargs: Any) -> Any:
            lower = torch.get_autocast_dtype(self._device)
            answer = policies.treatment(self._device, op, args, kwargs, lower)
            with torch._C._ExcludeDispatchKeyGuard(_OFF):
                if isinstance(answer, str):
                    raise RuntimeError(answer)
                made = list(walk.leaves((args, kwargs), torch.Tensor))
                for slot in sorted(walk.leaves((answer.args, answer.kwargs), policies.Slot), key=attrgetter("turn")):
                    if slot.dtype is not None:
                        made[slot.index] = self._cast(made[slot.index], slot.dtype, lower)
                filled, named = walk.changed((answer.args, answer.kwargs), policies.Slot, lambda s: made[s.index])
                return answer.op(*filled, **named)

        return kernel

    def _cast(self, tensor: torch.Tensor, dtype: torch.dtype, lower: torch.dtype) -> torch.Tensor:
        """One cast, or the one kept from before, as in `dispatch`."""
        keep = (
            dtype == lower
            and tensor.dtype == torch.float32
            and tensor.requires_grad
            and tensor.is_leaf
            and not tensor._is_view()
            and torch.is_autocast_cache_enabled()
        )
        if not keep:
            return tensor.to(dtype)
        if id(tensor) not in self.casts:
            with torch.enable_grad():
                self.casts[id(tensor)] = (tensor, tensor.to(dtype))
        return self.casts[id(tensor)][1]


def _passing(op: Any) -> Callable[..., Any]:
    """For an operator that only the CPU's autocast knows: as if no autocast kernel were there."""

    def kernel(keys: DispatchKeySet, *args: Any, **kwargs: Any) -> Any:
        return op.redispatch(keys & _BELOW, *args, **kwargs)

    return kernel
