"""Memory layouts that the meta kernel gets wrong: the later view, copy or product depends on them."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from math import prod
from typing import Any, Final

import torch
from torch._prims_common import suggest_memory_format

from analyzer.capture.strides.elementwise import Form, elementwise_stride, preserved_stride
from analyzer.capture.tensor import Abstract
from analyzer.ir import walk

_WRAPPED: Final = ("self", "other")
"""Arguments that, where a schema says that they are numbers, become tensors of no dimension; exponents do not."""
ASKED_LIMIT: Final = 1 << 16
"""Elements in all operands up to which the real kernel is asked how its results lie in memory."""


def forms(function: Any, args: Any, kwargs: Any, made: list[torch.Tensor]) -> list[Form]:
    """Shape and stride of each result of a call, which the meta kernel gave as `made`."""
    given = [*map(_form, made)]
    op = str(function)
    if op in ASKED:
        real = _really(function, args, kwargs)
        if len(real) == len(given):
            return real
    rule = _RULES.get(op)
    if rule is not None:
        return [rule(args, index, t) for index, t in enumerate(made)]
    if op in _LIKE and kwargs.get("memory_format") in (None, torch.preserve_format):
        return [(given[0][0], preserved_stride((given[0][0], args[0].stride())))]
    if len(given) == 1 and _is_elementwise(function):
        return [(given[0][0], _pointwise(function, args, kwargs, given[0]))]
    return given


def _is_elementwise(function: Any) -> bool:
    if function._schema.is_mutable or str(function) in _NOT_ELEMENTWISE:
        return False
    return torch.Tag.pointwise in function.tags or str(function) in _ELEMENTWISE


def _really(function: Any, args: Any, kwargs: Any) -> list[Form]:
    """How the results of the real kernel lie, for operands of the same layouts; empty where it cannot be asked."""
    operands = [*walk.leaves((args, kwargs), torch.Tensor)]
    if sum(prod(t.shape) for t in operands) > ASKED_LIMIT:
        return []
    try:
        with torch.no_grad(), torch._C._DisableTorchDispatch():
            real_args, real_kwargs = walk.changed((args, kwargs), torch.Tensor, _harmless, into=list)
            result = function(*real_args, **real_kwargs)
    except (RuntimeError, NotImplementedError, IndexError, ValueError):
        return []
    return [_form(t) for t in walk.leaves(result, torch.Tensor)]


def _harmless(tensor: torch.Tensor) -> torch.Tensor:
    """A real tensor of the same layout: its known value, else ones, or zeros where they may be positions."""
    made = torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype)
    once = tuple([slice(1) if step == 0 else slice(None) for step in tensor.stride()])  # what an expanded one repeats
    known = tensor.known if isinstance(tensor, Abstract) else tensor
    if known is None:
        made[once].fill_(1 if tensor.dtype.is_floating_point or tensor.dtype.is_complex else 0)
    else:
        made[once].copy_(known[once])
    return made


def _pointwise(function: Any, args: Any, kwargs: Any, made: Form) -> tuple[int, ...]:
    """As the kernel itself: meta kernels are in Python here, and cast halves first, into other layouts."""
    operands = [*walk.leaves((args, kwargs), torch.Tensor)]
    shape, stride = made
    if not operands:
        return stride
    given = zip(function._schema.arguments, args, strict=False)
    numbers = sum(str(a.type) == "Tensor" or a.name in _WRAPPED for a, value in given if _number(value))
    return elementwise_stride(shape, [*_cast(function, operands), *[((), ())] * numbers])


def _number(value: object) -> bool:
    """Whether a number stands in the place of a tensor, which the kernel makes one of no dimension."""
    return isinstance(value, (int, float, complex))


def _cast(function: Any, operands: list[torch.Tensor]) -> list[Form]:
    """The operands as the CPU sorts them: all cast to one dtype, but for the condition of `where`."""
    dtypes = {t.dtype for t in operands if t.dim()} or {t.dtype for t in operands}
    as_given = [*map(_form, operands)]
    if len(dtypes) == 1 or str(function) == "aten.where.self" or any(d in _F8 for d in dtypes):
        return as_given
    common = reduce(torch.promote_types, dtypes)
    pairs = zip(operands, as_given, strict=True)
    return [form if t.dtype == common else (form[0], preserved_stride(form)) for t, form in pairs]


def _normalised(args: Any, index: int, made: torch.Tensor) -> Form:
    """Without training no statistics are saved (aten/src/ATen/native/Normalization.cpp)."""
    trains = args[5] if len(args) > 5 else True
    return _suggested(args, index, made) if index == 0 or trains else ((0,), (1,))


def _contiguous(_: Any, index: int, made: torch.Tensor) -> Form:
    """The first result fills its memory in order, also where the operand's strides differ in an axis of one."""
    return _in_format(made, torch.contiguous_format) if index == 0 else _form(made)


def _suggested(args: Any, index: int, made: torch.Tensor) -> Form:
    """Of the first result, the operand's format if it fills its memory in it."""
    return _in_format(made, _format(args[0])) if index == 0 else _form(made)


def _suggested_by_second(args: Any, index: int, made: torch.Tensor) -> Form:
    """Of a gradient, the format of the operand that it is of."""
    return _in_format(made, _format(args[1])) if index == 0 else _form(made)


def _convolved(args: Any, index: int, made: torch.Tensor) -> Form:
    """Channels last if the input or the weight is (aten/src/ATen/native/ConvUtils.h); a line is an image one high."""
    return _in_image_format(made, args[:2])


def _convolved_back(args: Any, index: int, made: torch.Tensor) -> Form:
    return _in_image_format(made, args[1:3]) if made.dim() > 1 else _form(made)


def _in_image_format(made: torch.Tensor, operands: Any) -> Form:
    line = made.dim() == 3
    formats = [suggest_memory_format(t.unsqueeze(2) if line else t) for t in map(_on_meta, operands)]
    last = next((f for f in formats if f != torch.contiguous_format), torch.contiguous_format)
    if not line:
        return _in_format(made, last)
    shape, stride = _in_format(made.unsqueeze(2), last)
    return (*shape[:2], shape[3]), (*stride[:2], stride[3])


def _on_meta(tensor: torch.Tensor) -> torch.Tensor:
    return torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device="meta")


def _format(given: torch.Tensor) -> Any:
    last = {4: torch.channels_last, 5: torch.channels_last_3d}.get(given.dim())
    follows = last is not None and not given.is_contiguous() and given.is_contiguous(memory_format=last)
    return last if follows else torch.contiguous_format


def _in_format(made: torch.Tensor, memory_format: Any) -> Form:
    return _form(torch.empty_like(made, memory_format=memory_format))


def _form(tensor: torch.Tensor) -> Form:
    """Shape and stride; of a sparse tensor as if it were dense."""
    shape = tuple(tensor.shape)
    strided = tensor.layout == torch.strided
    return shape, tensor.stride() if strided else tuple([prod(shape[axis + 1 :]) for axis in range(len(shape))])


_F8: Final = (torch.float8_e4m3fn, torch.float8_e5m2, torch.float8_e4m3fnuz, torch.float8_e5m2fnuz)
"""Dtypes that promote to none."""
_ELEMENTWISE: Final = ("aten.floor_divide.default", "aten.floor_divide.Scalar")
"""Elementwise kernels that torch does not tag as such."""
_NOT_ELEMENTWISE: Final = (
    "aten.masked_fill.Scalar", "aten.masked_fill.Tensor", "aten.ldexp.Tensor", "aten.clone.default",
    "aten._to_copy.default",
)  # fmt: skip
"""Tagged, but copies, or made of other operations: a copy that is written to, a power and a product."""
_LIKE: Final = frozenset(
    f"aten.{kind}.default"
    for kind in ("clone", "empty_like", "zeros_like", "ones_like", "full_like", "rand_like", "randn_like")
)
"""Copies and their like, which keep the layout of their operand."""

_PADS: Final = tuple(f"{kind}_pad{dims}d" for kind in ("reflection", "replication") for dims in (2, 3))
_SUGGESTED: Final = (
    "_native_batch_norm_legit_no_training", "_batch_norm_with_update",
    "channel_shuffle", "pixel_shuffle", "pixel_unshuffle", "max_unpool2d", "max_unpool3d", *_PADS,
)  # fmt: skip
_RULES: Final[dict[str, Callable[[Any, int, torch.Tensor], Form]]] = {
    **{f"aten.{op}.default": _suggested for op in _SUGGESTED},
    **{f"aten.{op}.default": _normalised for op in ("native_batch_norm", "_native_batch_norm_legit")},
    **{f"aten.{op}_backward.default": _suggested_by_second for op in ("native_batch_norm", *_PADS)},
    "aten.convolution.default": _convolved,
    "aten.convolution_backward.default": _convolved_back,
    "aten.native_layer_norm.default": _contiguous,
}
"""Where operands are too large to ask the real kernel, or one rule holds for all."""

ASKED: Final = frozenset(_RULES) - {"aten.native_layer_norm.default"} | {
    "aten._embedding_bag.default", "aten._embedding_bag_forward_only.default", "aten._fft_c2r.default",
    "aten._fft_r2c.default", "aten._fft_c2c.default", "aten._linalg_svd.default", "aten.linalg_eig.default",
    "aten._log_softmax_backward_data.default", "aten.angle.default", "aten.batch_norm_backward.default",
    "aten.glu_backward.default", "aten.huber_loss_backward.default", "aten.log_sigmoid_forward.default",
    "aten.mse_loss_backward.default", "aten.native_dropout_backward.default", "aten.native_layer_norm_backward.default",
    "aten.nll_loss2d_forward.default", "aten.nonzero_static.default", "aten.pow.Scalar",
    "aten.smooth_l1_loss_backward.default",
}  # fmt: skip
"""Operations whose meta kernels lay their results out otherwise than the real ones do, or in another shape."""
