"""`Tensor.set_`: a tensor that lies on the memory of another tensor, or of a storage, from here on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import torch

from analyzer.capture.tensor import Abstract, Cell
from analyzer.capture.tracing.signature import signature

if TYPE_CHECKING:
    from analyzer.capture.tracing.tracer import Tracer

LENDERS: Final = {"untyped_storage": 0, "storage": 0, "_typed_storage": 0, "set_": 1}
"""Calls that ask a tensor for its storage -> the position of that tensor. C++ may ask unseen."""


class Lenders:
    """The tensors whose storages the model has asked for: a storage does not know whose it is."""

    def __init__(self) -> None:
        self._owners: dict[int, Abstract] = {}

    def asked(self, call: str, args: Any) -> None:
        """A call asks for the storage of one of its arguments, if it is such a call and that is an abstract tensor."""
        position = LENDERS.get(call)
        if position is not None and position < len(args) and type(args[position]) is Abstract:
            self._owners[args[position].untyped_storage()._cdata] = args[position]

    def owner(self, storage: torch.UntypedStorage) -> Abstract | None:
        """Whose storage this is; None if it is no abstract tensor's, or nobody asked."""
        return self._owners.get(storage._cdata)


def relocated(tracer: Tracer, func: Any, args: Any, kwargs: Any) -> tuple[bool, Any]:
    """Record `set_`, in any overload: shape and stride become the source's, or those that the call names."""
    target, source, *form = (*args, None)[: max(2, len(args))]
    if type(source) is Abstract and source.dtype != target.dtype:
        return False, args  # the kernel refuses
    owner = source if type(source) is Abstract or source is None else _owner(tracer, source)
    meta = _on_meta(target, owner, source, form)
    taken = tuple([owner if arg is source else arg for arg in args])
    result = tracer.realised(signature(func), taken, kwargs, [target], meta)
    target.cell, target.seen = (owner.cell, owner.cell.version) if owner is not None else (Cell(), 0)
    target.value = _value(target, owner, form)
    tracer.recorder.lie(target.ref.id, [target])
    return True, result


def _owner(tracer: Tracer, storage: torch.UntypedStorage) -> Abstract | None:
    """The tensor that stands for a storage: its owner, or a constant of bytes on a real one."""
    owner = tracer.lenders.owner(storage)
    if owner is not None or _is_nowhere(storage):
        return owner
    with torch._C._DisableTorchDispatch():
        held = torch.empty(0, dtype=torch.uint8).set_(storage)
    lifted: Abstract = tracer.lift(held)
    return lifted


def _is_nowhere(storage: torch.UntypedStorage) -> bool:
    """Whether it is the storage of a tensor without memory, whose owner is not known."""
    try:
        return storage.nbytes() > 0 and storage.data_ptr() == 0
    except RuntimeError:
        return True


def _on_meta(target: Abstract, owner: Abstract | None, source: object, form: list[Any]) -> torch.Tensor:
    """A tensor in the form that `target` gets."""
    if len(form) > 1:
        size = tuple(form[1])
        stride = tuple(form[2]) if len(form) > 2 and form[2] else torch.empty(size, device="meta").stride()
    elif owner is not None and source is owner:
        size, stride = tuple(owner.shape), owner.stride()
    else:
        held = source.nbytes() if isinstance(source, torch.UntypedStorage) else 0
        size, stride = (held // target.dtype.itemsize,), (1,)
    return torch.empty_strided(size, stride, dtype=target.dtype, device="meta")


def _value(target: Abstract, owner: Abstract | None, form: list[Any]) -> torch.Tensor | None:
    """The real view of the source's real value, which writes reach on both ways."""
    if owner is None or owner.known is None:
        return None
    with torch._C._DisableTorchDispatch():
        start = form[0] if form else owner.known.storage_offset()
        storage = owner.known.untyped_storage()
        return torch.empty(0, dtype=target.dtype).set_(storage, start, tuple(target.shape), target.stride())
