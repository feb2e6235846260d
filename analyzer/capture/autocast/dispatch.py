"""Lets autocast act during a capture as it would on the device that is meant, wherever the capture runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, Final

import torch
from torch._C import DispatchKey, DispatchKeySet

from analyzer.capture.autocast import policies, torch_autocast_state
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
_BELOW: Final = torch._C._dispatch_keyset_full_after(DispatchKey.AutocastCPU)


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
        self._libraries: dict[str, Any] = {}
        self._keeps_gradients = False

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
        if on and not self._libraries:
            self._install()
        policies._SET_ENABLED(_CARRIER_DEVICE, on)

    def _note(self, what: str, value: str) -> None:
        self._tracer.inventions.note(what, value, self._tracer.source_lines.here()[0])

    def _install(self) -> None:
        self._keeps_gradients = policies.keeps_gradients()
        others = self._libraries["_"] = policies.registry("_", CARRIER)
        others.fallback(torch.library.fallthrough_kernel)  # operators without a kernel here pass as if it were off
        ours = dict.fromkeys(policies.overloads(self._device))
        for op in dict.fromkeys([*ours, *policies.overloads("cpu")]):
            namespace, name = op._schema.name.split("::")
            library = self._libraries.get(namespace)
            if library is None:
                library = self._libraries[namespace] = policies.registry(namespace, CARRIER)
            full = f"{name}.{op._overloadname}" if op._overloadname != "default" else name
            library.impl(full, self._kernel(op) if op in ours else _passing(op), with_keyset=True)

    def _remove(self) -> None:
        policies._SET_ENABLED(_CARRIER_DEVICE, False)
        for library in self._libraries.values():
            library._destroy()
        self._libraries.clear()
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
                for slot in sorted(walk.leaves((answer.args, answer.kwargs), policies.Slot), key=attrgetter("turn")):
                    if slot.dtype is not None:
                        made[slot.index] = self._cast(made[slot.index], slot.dtype, lower)
                inserter: Inserter = BY_AUTOCAST if answer.widens else ""
                with self._tracer.inserting(inserter), self._tracer.recorder.given(self._wrong):
                    filled, named = walk.changed((answer.args, answer.kwargs), policies.Slot, lambda s: made[s.index])
                    return answer.op(*filled, **named)

        return kernel

    def _own(self, tensor: torch.Tensor) -> torch.Tensor:
        """The tensor of this capture; a parameter that a function closes over stays itself, to get its gradient."""
        keeps = type(tensor) is not Abstract and tensor.requires_grad and tensor.is_leaf
        return tensor if keeps else self._tracer.lift(tensor)

    def _cast(self, tensor: torch.Tensor, dtype: torch.dtype, lower: torch.dtype) -> torch.Tensor:
        """One inserted cast, or the one kept from before: by the rule of `cached_cast` in ATen/autocast_mode.cpp.

        What is kept is known by the tensor alone, not by the dtype, as there.
        """
        keep = (
            dtype == lower
            and tensor.dtype == torch.float32
            and tensor.requires_grad
            and tensor.is_leaf
            and not tensor._is_view()
            and torch.is_autocast_cache_enabled()
            and not (self._keeps_gradients and torch.is_inference_mode_enabled())
        )
        if keep and id(tensor) in self._casts:
            kept = self._casts[id(tensor)]
            self._wrong = self._wrong or kept.wrong(self._tracer.lift(tensor).cell)
            return kept.cast
        gradients = torch.enable_grad() if keep and self._keeps_gradients else nullcontext()
        with self._tracer.inserting(BY_AUTOCAST), gradients:
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


def _passing(op: Any) -> Callable[..., Any]:
    """For an operator that only the CPU's autocast knows: as if no autocast kernel were there."""

    def kernel(keys: DispatchKeySet, *args: Any, **kwargs: Any) -> Any:
        return op.redispatch(keys & _BELOW, *args, **kwargs)

    return kernel
