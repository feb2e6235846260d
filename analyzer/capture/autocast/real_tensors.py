"""Lets a device's autocast act on real tensors on the CPU, by the table that the capture uses."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any, Final

import torch
from torch._C import DispatchKey, DispatchKeySet

from analyzer.capture.autocast import policies, torch_autocast_state
from analyzer.capture.autocast.kernels import Kernel, Kernels, filled
from analyzer.ir import walk

_KEY: Final = "AutocastCPU"
_OFF: Final = DispatchKeySet(DispatchKey.AutocastCPU)


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
    acting = _Acting(device)
    with ExitStack() as stack:
        stack.callback(acting.remove)
        stack.enter_context(torch_autocast_state.clean_state())
        stack.enter_context(
            torch_autocast_state.standing_in(device, acting.switched, acting.casts.clear, lambda *_: None)
        )
        yield


class _Acting:
    """The autocast of one device at the CPU's key, and the casts of weights that it keeps."""

    def __init__(self, device: str) -> None:
        self._device, self._kernels = device, Kernels(_KEY)
        self.casts: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}

    def switched(self, on: bool) -> None:
        """Kernels are put in place when autocast is first switched on."""
        if on and not self._kernels:
            self._kernels.install(self._device, self._kernel)

    def remove(self) -> None:
        """Put back torch's own kernels."""
        self._kernels.remove()
        self.casts.clear()

    def _kernel(self, op: Any) -> Kernel:
        def kernel(_: object, *args: Any, **kwargs: Any) -> Any:
            lower = torch.get_autocast_dtype(self._device)
            answer = policies.treatment(self._device, op, args, kwargs, lower)
            with torch._C._ExcludeDispatchKeyGuard(_OFF):
                if isinstance(answer, str):
                    raise RuntimeError(answer)
                made = list(walk.leaves((args, kwargs), torch.Tensor))
                given, named = filled(answer, made, partial(self._cast, lower=lower))
                return answer.op(*given, **named)

        return kernel

    def _cast(self, tensor: torch.Tensor, dtype: torch.dtype, lower: torch.dtype) -> torch.Tensor:
        """One cast, or the one kept from before, as in `dispatch`."""
        if not self._kernels.keeps(tensor, dtype, lower):
            return tensor.to(dtype)
        if id(tensor) not in self.casts:
            with self._kernels.recording():
                self.casts[id(tensor)] = (tensor, tensor.to(dtype))
        return self.casts[id(tensor)][1]
