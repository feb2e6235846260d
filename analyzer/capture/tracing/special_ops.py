"""Operations that no kernel is asked about: they leave torch, or their shapes depend on values."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Any, Final

import torch

from analyzer.capture.assumed_values import plausible
from analyzer.capture.not_traced import NotTraced
from analyzer.capture.tensor import SMALL, Abstract, small, spec_of
from analyzer.capture.tracing.collectives import COLLECTIVES
from analyzer.capture.tracing.outcomes import Outcome, on_meta, tensors
from analyzer.capture.tracing.relocation import relocated
from analyzer.capture.tracing.signature import signature

if TYPE_CHECKING:
    from analyzer.capture.tracing.tracer import Tracer


def _scalar(tracer: Tracer, func: Any, args: Any, kwargs: Any) -> tuple[bool, Any]:
    tensor = args[0]
    if tensor.known is not None:
        return True, tensor.known.item()
    return True, tracer.inventions.scalar(tensor, *tracer.source_lines.here())


def _equal(tracer: Tracer, func: Any, args: Any, kwargs: Any) -> tuple[bool, Any]:
    a, b = args[0].known, args[1].known
    if a is not None and b is not None:
        return True, bool(torch.equal(a, b))
    if small(args[0]) and small(args[1]):
        torch.equal(plausible(args[0]), plausible(args[1]))  # it may refuse their dtypes
    tracer.inventions.note("whether two tensors are equal", "True", tracer.source_lines.here()[0])
    return True, True


def _draw(tracer: Tracer, func: Any, args: Any, kwargs: Any) -> tuple[bool, Any]:
    """One random number, as layer dropping in training draws it, is a half, so that no layer goes."""
    if list(args[0]) not in ([], [1]):
        return False, args
    half = torch.full(args[0], 0.5, dtype=kwargs.get("dtype"))
    tracer.inventions.note("a random number was drawn", "0.5", tracer.source_lines.here()[0])
    return True, tracer.realised(signature(func), args, kwargs, [], half)


def _zeros(tracer: Tracer, func: Any, args: Any, kwargs: Any) -> tuple[bool, Any]:
    """Zeros that take no memory, as forward-mode gradients are made of: kernels below would read it."""
    if prod(args[0]) > SMALL:
        return False, args
    return True, tracer.realised(signature(func), args, kwargs, [], torch.zeros(args[0], dtype=kwargs.get("dtype")))


def _sdp_choice(tracer: Tracer, func: Any, args: Any, kwargs: Any) -> tuple[bool, Any]:
    query, key = args[0], args[1]
    fused = query.dim() == 4 and query.shape[-1] == args[2].shape[-1] and query.shape[1] == key.shape[1]
    return True, 1 if fused and (len(args) < 5 or args[4] in (0.0, None)) else 0


def _masks(tracer: Tracer, func: Any, args: Any, kwargs: Any) -> tuple[bool, Any]:
    """Boolean masks among the indexes become the positions they select, so that shapes are known."""
    indices: list[Any] = []
    for index in args[1]:
        if isinstance(index, Abstract) and index.dtype in (torch.bool, torch.uint8):
            _fits(index, args[0], len(indices))
            value = tracer.inventions.value(index, tracer.source_lines.here()[0])
            for positions in torch.nonzero(value, as_tuple=True):
                made = tracer.recorder.stored("constant", "", positions, known=True)
                indices.append(made)
        else:
            indices.append(index)
    return False, (args[0], indices, *args[2:])


def _written_at(tracer: Tracer, func: Any, args: Any, kwargs: Any) -> tuple[bool, Any]:
    """Where values are put: as of `_masks`, but the masks stay, since there may be more values than places."""
    for at, index in enumerate(args[1]):
        if isinstance(index, Abstract) and index.dtype in (torch.bool, torch.uint8):
            _fits(index, args[0], at)
    _check_places(args[0], args[1], args[2] if len(args) > 2 else kwargs["values"])
    return False, args


def _check_places(written: Abstract, indices: Any, values: Any) -> None:
    """Raise what torch raises where there are more or fewer values than known places, which no meta kernel counts."""
    places: list[torch.Tensor | None] = []
    for index in indices:
        known = index.known if isinstance(index, Abstract) else None
        if index is not None and known is None:
            return
        if known is not None and known.dtype in (torch.bool, torch.uint8):
            places += torch.nonzero(known, as_tuple=True)
        else:
            places.append(known)
    there = torch.ops.aten.index(torch.empty(written.shape, device="meta"), places).shape
    given = tuple(values.shape)
    fits = len(given) <= len(there) and all(n in (1, m) for n, m in zip(given[::-1], there[::-1], strict=False))
    if not fits:
        raise RuntimeError(
            f"shape mismatch: value tensor of shape {list(given)} cannot be broadcast to indexing result of shape "
            f"{list(there)}"
        )


def _fits(mask: Abstract, indexed: Abstract, first: int) -> None:
    """Raise what torch raises of a mask that is not as large as what it selects from, beginning at a dimension."""
    for place, size in enumerate(mask.shape):
        if first + place < indexed.dim() and indexed.shape[first + place] != size:
            raise IndexError(
                f"The shape of the mask {list(mask.shape)} at index {place} does not match the shape of the indexed "
                f"tensor {list(indexed.shape)} at index {first + place}"
            )


def _filled(tracer: Tracer, func: Any, args: Any, kwargs: Any) -> tuple[bool, Any]:
    """Integers or masks filled like a tensor are known although the tensor is not: it lends its shape."""
    model, rest = args[0], list(tensors((args[1:], kwargs)))
    if type(model) is not Abstract or model.known is not None or rest or model.sparse is not None:
        return False, args
    lent = torch.empty_strided(model.shape, model.stride(), dtype=model.dtype, device="meta")
    made = func(lent, *args[1:], **{k: v for k, v in kwargs.items() if k != "device"})
    if made.dtype.is_floating_point or made.dtype.is_complex or not small(made):
        return False, args
    real = func(torch.empty_strided(model.shape, model.stride(), dtype=model.dtype), *args[1:], **kwargs)
    return True, tracer.realised(signature(func), args, kwargs, [model], real)


def _of_shapes(tracer: Tracer, func: Any, args: Any, kwargs: Any) -> tuple[bool, Any]:
    """A question whose answer is no tensor, and depends on no value."""
    return True, func(*on_meta(args), **on_meta(kwargs))


def _packed(tracer: Tracer, func: Any, args: Any, kwargs: Any) -> tuple[bool, Any]:
    """How many sequences each step has depends on the lengths alone; where these are not known, all are whole."""
    data, lengths, first = args[0], args[1].known, args[2]
    if data.known is not None and lengths is not None:
        return False, args
    if lengths is None:
        batch, steps = data.shape[:2] if first else (data.shape[1], data.shape[0])
        lengths = torch.full((batch,), steps)
        tracer.inventions.note("the lengths of sequences", "all whole", tracer.source_lines.here()[0])
    made, sizes = func(torch.empty(data.shape, dtype=data.dtype), lengths, *args[2:])
    outcome = Outcome(tuple([(spec_of(t), t.stride()) for t in (made, sizes)]))
    return True, tracer._finish(signature(func), args, kwargs, [data, args[1]], outcome, [None, sizes])


def _strided_nested(tracer: Tracer, func: Any, args: Any, kwargs: Any) -> tuple[bool, Any]:
    raise NotTraced("nested tensors of the strided layout are not traced", "use layout=torch.jagged")


_FILLED: Final = ("ones_like", "zeros_like", "full_like", "new_ones", "new_zeros", "new_full")
_PUT: Final = ("index_put", "index_put_", "_unsafe_index_put", "_index_put_impl_")
_RELOCATES: Final = (
    "default", "source_Tensor", "source_Tensor_storage_offset", "source_Storage", "source_Storage_storage_offset",
)  # fmt: skip
_STRIDED_NESTED: Final = (
    "_nested_tensor_from_tensor_list", "_nested_tensor_from_mask", "_nested_from_padded", "_nested_view_from_buffer",
)  # fmt: skip
SPECIAL: Final = {
    "aten._local_scalar_dense.default": _scalar,
    "aten.item.default": _scalar,
    "aten.equal.default": _equal,
    "aten.rand.default": _draw,
    "aten._efficientzerotensor.default": _zeros,
    "aten._fused_sdp_choice.default": _sdp_choice,
    "aten.index.Tensor": _masks,
    **{f"aten.{kind}.default": _written_at for kind in _PUT},
    **{f"aten.{kind}.default": _filled for kind in _FILLED},
    **{f"aten.set_.{overload}": relocated for overload in _RELOCATES},
    **{f"aten.{question}.default": _of_shapes for question in ("is_same_size", "_has_same_storage_numel")},
    **{f"aten.{kind}.default": _strided_nested for kind in _STRIDED_NESTED},
    "aten._pack_padded_sequence.default": _packed,
    **COLLECTIVES,
}
"""Overload -> (tracer, overload, args, kwargs) -> (whether it is done, its result or else the new arguments)."""
