"""The module that stands in the place of a quantised linear layer: packed weights, and the real layer's dtypes."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from analyzer.loaders.quantised.layouts import BIAS, LAYOUTS, Part
from analyzer.loaders.quantised.schemes import CONFIG, HALF, HALVES, INPUT, LOADED, Scheme

_LIBRARY: Any = torch.library.Library("quantised", "DEF")  # type: ignore[no-untyped-call]
_LIBRARY.define(
    "dequantize(Tensor[] packed, Tensor? input, int[] shape, ScalarType? dtype, str takes, str words, str source) "
    "-> Tensor"
)


def _dequantize(
    packed: Any, given: Any, shape: Any, dtype: Any, takes: str, words: str, source: str, *, ask: bool = True
) -> torch.Tensor:
    """A weight as its kernel sees it, in `dtype`, else in that of the input; values are none of our business.

    Raises RuntimeError with the kernel's own words for an input that it does not take.
    """
    if ask and takes and str(given.dtype).removeprefix("torch.") not in takes.split():
        raise RuntimeError(words)
    return torch.empty(shape, dtype=dtype or given.dtype, device=packed[0].device)


def _unasked(*args: Any) -> torch.Tensor:
    return _dequantize(*args, ask=False)


_LIBRARY.impl("dequantize", _dequantize, "CPU")
_LIBRARY.impl("dequantize", _unasked, "Meta")


class StandIn(nn.Linear):
    """A linear layer with a packed weight; what it takes, computes in and gives is `scheme`."""

    def __init__(self, scheme: Scheme, plain: nn.Module, settings: dict[str, object], loaded: str) -> None:
        nn.Module.__init__(self)
        self.scheme, self.settings, self.loaded = scheme, settings, loaded
        rows, columns = size(plain)
        self.in_features, self.out_features = columns, rows
        self.parts: tuple[Part, ...] = LAYOUTS[scheme.module](rows, columns, settings, loaded)
        for part in self.parts:
            tensor = torch.empty(part.shape, dtype=getattr(torch, part.dtype), device="meta")
            if part.parameter:
                self.register_parameter(part.name, nn.Parameter(tensor, requires_grad=False))
            else:
                self.register_buffer(part.name, tensor, persistent=not part.hidden)
        bias = getattr(plain, "bias", None)
        if bias is not None:
            made = torch.empty(rows, dtype=getattr(torch, BIAS.get(scheme.module, loaded)), device="meta")
            bias = nn.Parameter(made, requires_grad=bias.requires_grad)
        self.register_parameter("bias", bias)

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """The product in the dtype that the real layer computes in."""
        weight = getattr(self, self.parts[0].name)
        if weight.dtype.is_floating_point and weight.dtype.itemsize > 1 and self.parts[0].dtype != self.loaded:
            return F.linear(input, weight, self.bias)  # `model.to(dtype)` made an 8-bit weight a plain one
        return product(self.scheme, self.settings, self.loaded, input, self._packed(), self._shape, self.bias)

    def extra_repr(self) -> str:
        """Sizes, as nn.Linear says them."""
        return f"in_features={self.in_features}, out_features={self.out_features}, bias={self.bias is not None}"

    @property
    def W_q(self) -> torch.Tensor:
        """The packed weight, under the name by which peft knows layers that unpack themselves (integrations.py)."""
        if self.scheme.unpacks:
            return self.weight
        raise AttributeError("W_q")

    def dequantize(self) -> torch.Tensor:
        """The weight as DoRA takes it: unpacked outside the product, in the dtype that the library gives it."""
        dtype = getattr(torch, self.loaded if self.scheme.unpacks == LOADED else self.scheme.unpacks)
        return torch.ops.quantised.dequantize(self._packed(), None, self._shape, dtype, "", "", self.scheme.source)  # type: ignore[no-any-return]

    @property
    def _shape(self) -> list[int]:
        return [self.out_features, self.in_features]

    def _packed(self) -> list[torch.Tensor]:
        """What a reader wants to see enter: the values and the scales, not zero points and orders."""
        return [getattr(self, p.name) for i, p in enumerate(self.parts) if not i or "int" not in p.dtype]


def product(
    scheme: Scheme, settings: dict[str, object], loaded: str, input: torch.Tensor, packed: Sequence[torch.Tensor],
    shape: Sequence[int], bias: torch.Tensor | None,
) -> torch.Tensor:  # fmt: skip
    """Dequantise and multiply: one operation of ours, and one of torch's, with the casts that the library makes."""
    given = input.dtype
    dtype = _dtype(scheme, settings, loaded, given)
    with _no_autocast(input):
        if dtype is not None:
            input = input.to(dtype)
        weight = torch.ops.quantised.dequantize(
            list(packed), input if dtype is None else None, list(shape), dtype, " ".join(scheme.takes), scheme.words,
            scheme.reference,
        )  # fmt: skip
        if bias is not None and not scheme.late_bias:
            bias = bias.to(input.dtype)
        result = F.linear(input, weight, None if scheme.late_bias else bias)
        if scheme.late_bias and bias is not None:
            result = result + bias
    return result.to(given) if scheme.back else result


def size(plain: nn.Module) -> tuple[int, int]:
    """Outputs and inputs of a linear layer, also of transformers' Conv1D, whose weight lies the other way round."""
    if isinstance(plain, nn.Linear):
        return plain.out_features, plain.in_features
    weight: Any = plain.weight
    return int(weight.shape[1]), int(weight.shape[0])


@cache
def named(name: str) -> type[StandIn]:
    """The stand-in under the real layer's class name, which reports and FSDP's units go by."""
    return type(name, (StandIn,), {"__doc__": StandIn.__doc__})


def _dtype(scheme: Scheme, settings: dict[str, object], loaded: str, given: torch.dtype) -> torch.dtype | None:
    """The dtype of the product; None where it is the input's own."""
    if scheme.compute == INPUT:
        return None
    if scheme.compute == HALVES:
        return given if str(given).removeprefix("torch.") in HALF else torch.float16
    name = {LOADED: loaded, CONFIG: str(settings.get("bnb_4bit_compute_dtype") or "float32")}.get(
        scheme.compute, scheme.compute
    )
    return getattr(torch, name.removeprefix("torch."))  # type: ignore[no-any-return]


def _no_autocast(input: torch.Tensor) -> AbstractContextManager[object]:
    """The libraries' own kernels are on no list of autocast's."""
    kind = input.device.type
    return torch.autocast(kind, enabled=False) if torch.is_autocast_enabled(kind) else nullcontext()
