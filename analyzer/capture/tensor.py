"""The tensor that flows through a model during a capture: shape and dtype, perhaps a small known value, no weights."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import prod
from typing import Any, ClassVar, Final, NamedTuple, cast

import torch
from torch.overrides import handle_torch_function

from analyzer.capture.wrapper_subclasses import wraps
from analyzer.ir import walk
from analyzer.ir.graph import Ref, Spec

SMALL: Final = 1 << 18
"""Elements up to which a value that depends on no weight is computed for real (design D2)."""

LARGE: Final = 1 << 26
"""Bytes beyond which no tensor gets memory, whatever the model's code says of its device."""

CARRIER: Final = "AutocastIPU"
"""The dispatch key that every abstract tensor carries for `capture.autocast`; no device that torch knows uses it."""

_CPU: Final = torch.device("cpu")
_SET_DATA: Final = torch.Tensor.data.__set__  # type: ignore[attr-defined]
_EXTRA: Final = torch._C.DispatchKeySet(getattr(torch._C.DispatchKey, CARRIER))


@dataclass(slots=True)
class Cell:
    """What all views of one storage share: whether its values are known, and who wrote to it last."""

    known: bool = False
    version: int = 0
    writer: Ref | None = None


class Layout(NamedTuple):
    """How a tensor lies in memory (stride in elements), and in which: two that share a cell share a storage."""

    stride: tuple[int, ...]
    cell: Cell


class Abstract(torch.Tensor):
    """A wrapper subclass that says it is on the CPU and owns no memory.

    `ref` is the graph's name for it, `value` a real tensor when it is known (all views of a known tensor are real
    views of each other, so writes reach them), `held` whether it is a parameter or a view of one, `guess` what a
    mask, or integers counted from masks, would be if every unknown float were one, with the version of the memory
    for which that holds, `sparse` the tensor itself where its layout is not strided.
    """

    ref: Ref
    cell: Cell
    value: torch.Tensor | None
    guess: tuple[int, torch.Tensor] | None
    sparse: torch.Tensor | None
    held: bool
    _is_param: bool
    """Set where it is a parameter: by this `isinstance(tensor, nn.Parameter)` is answered."""
    seen: int
    capture: int
    """Number of the capture that made it: a model may keep one in a cache beyond that capture."""
    of_captures: ClassVar[bool] = True
    """Tells `wrapper_subclasses.wraps` that the tracer knows it."""
    running: ClassVar[int] = 0
    """Number of the capture that runs now."""

    __torch_function__: Any = torch._C._disabled_torch_function_impl

    @staticmethod
    def make(spec: Spec, stride: tuple[int, ...], ref: Ref, cell: Cell, value: torch.Tensor | None = None) -> Abstract:
        """A tensor of this shape (elements), stride (elements) and dtype, on no memory."""
        dtype = getattr(torch, spec.dtype)
        made: Any = torch.Tensor._make_wrapper_subclass(
            Abstract, spec.shape, strides=stride, dtype=dtype, device=_CPU, _extra_dispatch_keys=_EXTRA
        )
        made.ref, made.cell, made.value, made.held, made.seen = ref, cell, value, False, cell.version
        made.guess, made.sparse, made.capture = None, None, Abstract.running
        return cast(Abstract, made)

    @property
    def known(self) -> torch.Tensor | None:
        """The real value, if nothing unknown was written into it."""
        return self.value if self.cell.known else None

    def like(self, dtype: torch.dtype) -> Abstract:
        """The same operand in another dtype: the silent cast of a repair, which makes no node."""
        value = None
        if self.known is not None:
            with torch._C._DisableTorchDispatch():
                value = self.known.to(dtype)
        cell = Cell(known=value is not None)
        other = Abstract.make(Spec(dtype_name(dtype), tuple(self.shape)), self.stride(), self.ref, cell, value)
        other.held, other.seen = self.held, other.cell.version
        other.sparse = self.sparse
        return other

    def become(self, other: Abstract) -> None:
        """Stand for what another tensor stands for, after `self.data = other`."""
        self.ref, self.seen = other.ref, other.seen
        self.guess, self.sparse = other.guess, other.sparse
        self.share(other)

    def share(self, other: Abstract) -> None:
        """Lie on the memory of another tensor; the real value is a view of its own, which may take another form."""
        self.cell = other.cell
        with torch._C._DisableTorchDispatch():
            self.value = None if other.value is None else other.value.detach()

    def take_form(self, shape: tuple[int, ...], stride: tuple[int, ...]) -> None:
        """Have another shape and stride (elements), as `transpose_` and `out=` do to a tensor; its memory stays."""
        form = Abstract.make(Spec(dtype_name(self.dtype), shape), stride, self.ref, self.cell)
        with torch._C._DisableTorchDispatch():
            _SET_DATA(self, form)
        self.guess = None

    def set_(self, *source: Any, **named: Any) -> Any:
        """As torch's own `set_`, which no function mode sees."""
        return handle_torch_function(torch.Tensor.set_, (self,), self, *source, **named)

    def __deepcopy__(self, memo: dict[int, Any]) -> torch.Tensor:
        """A copy, as `copy.deepcopy` makes of whatever holds the tensor."""
        made = memo[id(self)] = self.clone()
        return made

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:  # type: ignore[override]
        """Outside its capture an abstract tensor is its known value; one without refuses.

        Beside a tensor that holds others, that one's own code decides.
        """
        if any(map(wraps, types)):
            return NotImplemented

        def known(tensor: Abstract) -> torch.Tensor:
            if tensor.known is None:
                raise RuntimeError(f"{func} reached an abstract tensor outside its capture")
            return tensor.known

        known_args, known_kwargs = walk.changed((args, kwargs or {}), Abstract, known)
        return func(*known_args, **known_kwargs)

    def __repr__(self, **_: object) -> str:  # type: ignore[override]
        return f"Abstract({dtype_name(self.dtype)}{list(self.shape)} {self.ref.id})"


Abstract.__name__ = Abstract.__qualname__ = "Tensor"  # errors and models name the types of what they are given


def computing(floats: Iterable[Abstract]) -> list[Abstract]:
    """Those of some float tensors in whose dtypes can be computed: 8-bit ones only where there are no others."""
    found = list(floats)
    return [t for t in found if t.dtype.itemsize > 1] or found


def dtype_name(dtype: torch.dtype) -> str:
    """torch's name of a dtype without the `torch.`."""
    return str(dtype).removeprefix("torch.")


def spec_of(tensor: torch.Tensor) -> Spec:
    """Dtype and shape of any tensor."""
    return Spec(dtype_name(tensor.dtype), tuple(tensor.shape))


def bounds_of(tensor: torch.Tensor | None) -> tuple[float, float] | None:
    """The least and the greatest value of a real tensor; None where there is none, or they have no order."""
    if tensor is None or tensor.layout != torch.strided or tensor.dtype.is_complex or not tensor.numel():
        return None
    with torch._C._DisableTorchDispatch():
        wide = tensor.double()
        return float(wide.min()), float(wide.max())


def small(tensor: torch.Tensor) -> bool:
    """Whether a tensor is small enough to be computed for real."""
    return prod(tensor.shape) <= SMALL


def grows(tensors: list[Abstract], args: Any, limit: int) -> bool:
    """Whether an operation on small tensors may give more elements: of their outer product, or of a size it names."""
    named = any(isinstance(a, (list, tuple)) and all(type(n) is int for n in a) and prod(a) > limit for a in args)
    return named or (len({tuple(t.shape) for t in tensors}) > 1 and prod(t.numel() for t in tensors) > limit)
