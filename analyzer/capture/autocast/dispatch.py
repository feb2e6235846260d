"""Lets autocast act during a capture as it would on the device that is meant, wherever the capture runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import torch
from torch._C import DispatchKey, DispatchKeySet

from analyzer.capture.autocast import policies, torch_autocast_state
from analyzer.capture.autocast.kernels import Kernels, filled
from analyzer.capture.calls import composite_calls
from analyzer.capture.tensor import CARRIER, Abstract, Cell
from analyzer.capture.tracing.tracer import Tracer
from analyzer.ir import walk
from analyzer.ir.dtypes import parse_autocast
from analyzer.ir.literal_types import Inserter, KeptCast
from analyzer.ir.plan import Plan

BY_AUTOCAST: Final = "autocast"
"""`Node.inserted` of the casts made here."""
_CARRIER_DEVICE: Final = CARRIER.removeprefix("Autocast").lower()
_OFF: Final = DispatchKeySet(getattr(DispatchKey, CARRIER)) | DispatchKeySet(DispatchKey.AutocastCPU)


def home(plan: Plan) -> str:
    """The device whose autocast acts on the model's tensors."""
    return parse_autocast(plan.autocast)[0] if plan.autocast else plan.device


class Autocast:
    """The autocast of one device, for the duration of one capture.

    Abstract tensors say that they are on the CPU and carry one dispatch key more, of a device that nobody has. At
    that key stand kernels that ask the meant device's own autocast kernel what to do (`policies`), make the casts
    as nodes, and call the operator with autocast off, as the C++ kernels do.
    """

    def __init__(self, device: str, tracer: Tracer) -> None:
        self._device, self._tracer = device, tracer
        self._casts: dict[int, _Kept] = {}
        """Casts of weights that autocast keeps until its outermost region ends."""
        self._wrong: KeptCast = ""
        """What is wrong with one that was given to the call that is being made."""
        self._kernels = Kernels(CARRIER)

    @contextmanager
    def around(self) -> Iterator[None]:
        """While this lasts, autocast acts on abstract tensors; afterwards all is as it was, also after an error."""
        with ExitStack() as stack:
            stack.callback(self._remove)
            stack.enter_context(torch_autocast_state.clean_state())
            stack.enter_context(
                torch_autocast_state.standing_in(self._device, self._switched, self._casts.clear, self._note)
            )
            yield

    def _switched(self, on: bool) -> None:
        """Follow the state of the device: kernels are installed when autocast is first switched on."""
        if on and not self._kernels:
            self._install()
        policies._SET_ENABLED(_CARRIER_DEVICE, on)

    def _note(self, what: str, value: str) -> None:
        self._tracer.inventions.note(what, value, self._tracer.source_lines.here()[0])

    def _install(self) -> None:
        # operators without a kernel here pass as if it were off
        self._kernels.library("_").fallback(torch.library.fallthrough_kernel)
        self._kernels.install(self._device, self._kernel)

    def _remove(self) -> None:
        policies._SET_ENABLED(_CARRIER_DEVICE, False)
        self._kernels.remove()
        self._casts.clear()

    def _kernel(self, op: Any) -> Callable[..., Any]:
        def kernel(_: object, *args: Any, **kwargs: Any) -> Any:
            lower = torch.get_autocast_dtype(self._device)
            answer = policies.treatment(self._device, op, args, kwargs, lower)
            with torch._C._ExcludeDispatchKeyGuard(_OFF):
                if isinstance(answer, str):
                    return self._refused(op, args, kwargs, answer)
                self._wrong = ""
                made: list[Any] = [self._own(t) for t in walk.leaves((args, kwargs), torch.Tensor)]
                given, named = filled(answer, made, partial(self._cast, lower=lower))
                inserter: Inserter = BY_AUTOCAST if answer.widens else ""
                with self._tracer.inserting(inserter), self._tracer.recorder.given(self._wrong):
                    return answer.op(*given, **named)

        return kernel

    def _own(self, tensor: torch.Tensor) -> torch.Tensor:
        """The tensor of this capture; a parameter that a function closes over stays itself, to get its gradient."""
        keeps = type(tensor) is not Abstract and tensor.requires_grad and tensor.is_leaf
        return tensor if keeps else self._tracer.lift(tensor)

    def _cast(self, tensor: torch.Tensor, dtype: torch.dtype, lower: torch.dtype) -> torch.Tensor:
        """One inserted cast, or the one kept from before, which is known by the tensor alone, not by the dtype."""
        keep = self._kernels.keeps(tensor, dtype, lower)
        if keep and id(tensor) in self._casts:
            kept = self._casts[id(tensor)]
            self._wrong = self._wrong or kept.wrong(self._tracer.lift(tensor).cell)
            return kept.cast
        with self._tracer.inserting(BY_AUTOCAST), self._kernels.recording() if keep else nullcontext():
            made = tensor.to(dtype)
        if keep:
            cell: Cell = self._tracer.lift(tensor).cell
            self._casts[id(tensor)] = _Kept(tensor, made, cell, cell.version)
        return made

    def _refused(self, op: Any, args: Any, kwargs: Any, words: str) -> Any:
        """Autocast itself refuses the call: write that down, and pass it with the operands as they are."""
        with self._tracer.recorder.muted():
            result = op(*args, **kwargs)
        return composite_calls.one_node(self._tracer, args, kwargs, result, words)


@dataclass(frozen=True, slots=True)
class _Kept:
    """The cast of a weight, and which version of which memory it was made of."""

    weight: torch.Tensor
    cast: torch.Tensor
    cell: Cell
    version: int

    def wrong(self, now: Cell) -> KeptCast:
        """Whether a cast that is made now would be another one; autocast itself does not ask."""
        if now is not self.cell or now.version != self.version:
            return "stale"
        return "no_grad" if torch.is_grad_enabled() and not self.cast.requires_grad else ""
