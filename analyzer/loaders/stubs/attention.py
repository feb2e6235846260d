"""The dtype contracts of attention kernels that no CPU has, as operations that refuse in the library's own words."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor

FLASH_2: Final = "flash_attn"
FLASH_3: Final = "flash_attn_interface"
XFORMERS: Final = "xformers"
ROTARY: Final = "flash_attn.rotary"


@dataclass(frozen=True, slots=True)
class Contract:
    """Which dtypes a kernel takes, and what it says of others; `source` is where its check is read.

    `takes` are the dtypes of the first operand ("" is any); `others` has one message for each further operand that
    differs from the first one, with {0}, {1}, ... for the dtypes.
    """

    takes: str
    words: str
    others: tuple[str, ...]
    source: str


_SAME: Final = ("query and key must have the same dtype", "query and value must have the same dtype")
_MIXED: Final = (
    "Query/Key/Value should either all have the same dtype, or (in the quantized case) Key/Value should have dtype "
    "torch.int32\n  query.dtype: {0}\n  key.dtype  : {1}\n  value.dtype: {2}"
)
_ROTARY: Final = "Input and cos/sin must have the same dtype, got {0} and {1}"
CONTRACTS: Final = {
    FLASH_2: Contract(
        "float16 bfloat16", "FlashAttention only support fp16 and bf16 data type", _SAME,
        "Dao-AILab/flash-attention, csrc/flash_attn/flash_api.cpp",
    ),
    FLASH_3: Contract(
        "float16 bfloat16 float8_e4m3fn", "FlashAttention only supports fp16, bf16, and fp8_e4m3 data type", _SAME,
        "Dao-AILab/flash-attention, hopper/flash_api.cpp",
    ),
    XFORMERS: Contract("", "", (_MIXED, _MIXED), "facebookresearch/xformers, xformers/ops/fmha/common.py"),
    ROTARY: Contract(
        "", "", (_ROTARY, "cos and sin must have the same dtype, got {1} and {2}"),
        "Dao-AILab/flash-attention, flash_attn/ops/triton/rotary.py",
    ),
}  # fmt: skip
"""Kernel -> its contract."""

_LIBRARY: Any = torch.library.Library("kernels", "DEF")  # type: ignore[no-untyped-call]
_LIBRARY.define("attention(Tensor query, Tensor key, Tensor value, int[] shape, str kernel, str source) -> Tensor")
_LIBRARY.define("rotary(Tensor input, Tensor cos, Tensor sin, str kernel, str source) -> Tensor")
_LIBRARY.define(
    "attention_backward(Tensor grad, Tensor query, Tensor key, Tensor value, str kernel, str source) "
    "-> (Tensor, Tensor, Tensor)"
)


def attend(kernel: str, query: Tensor, key: Tensor, value: Tensor, shape: Iterable[int]) -> Tensor:
    """Attention by `kernel`: a tensor of `shape` in the dtype of the query."""
    made: Tensor = _Attention.apply(query, key, value, tuple(shape), kernel)  # type: ignore[no-untyped-call]
    return made


def rotate(input: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary positions by flash-attn's Triton kernel: like the input."""
    made: Tensor = torch.ops.kernels.rotary(input, cos, sin, ROTARY, CONTRACTS[ROTARY].source)
    return made


class _Attention(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor, shape: Iterable[int], kernel: str) -> Any:
        ctx.save_for_backward(query, key, value)
        ctx.kernel = kernel
        return torch.ops.kernels.attention(query, key, value, list(shape), kernel, CONTRACTS[kernel].source)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> object:
        source = CONTRACTS[ctx.kernel].source
        return (*torch.ops.kernels.attention_backward(grad, *ctx.saved_tensors, ctx.kernel, source), None, None)


def _check(kernel: str, *operands: Tensor) -> None:
    """Raise RuntimeError as the kernel does; the first operand is looked at first, as there."""
    contract, first = CONTRACTS[kernel], operands[0]
    names = [str(t.dtype) for t in operands]
    if contract.takes and names[0].removeprefix("torch.") not in contract.takes.split():
        raise RuntimeError(contract.words)
    for operand, words in zip(operands[1:], contract.others, strict=False):
        if operand.dtype != first.dtype:
            raise RuntimeError(words.format(*names))


def _attention(query: Tensor, key: Tensor, value: Tensor, shape: Iterable[int], kernel: str, source: str) -> Tensor:
    _check(kernel, query, key, value)
    return _attention_shape(query, key, value, shape, kernel, source)


def _attention_shape(
    query: Tensor, key: Tensor, value: Tensor, shape: Iterable[int], kernel: str, source: str
) -> Tensor:
    return torch.empty(list(shape), dtype=query.dtype, device=query.device)


def _backward(grad: Tensor, query: Tensor, key: Tensor, value: Tensor, kernel: str, source: str) -> tuple[Tensor, ...]:
    if CONTRACTS[kernel].takes and grad.dtype != query.dtype:
        raise RuntimeError("query and dout must have the same dtype")
    return _backward_shape(grad, query, key, value, kernel, source)


def _backward_shape(
    grad: Tensor, query: Tensor, key: Tensor, value: Tensor, kernel: str, source: str
) -> tuple[Tensor, ...]:
    return torch.empty_like(query), torch.empty_like(key), torch.empty_like(value)


def _rotary(input: Tensor, cos: Tensor, sin: Tensor, kernel: str, source: str) -> Tensor:
    _check(kernel, input, cos, sin)
    return torch.empty_like(input)


def _rotary_shape(input: Tensor, cos: Tensor, sin: Tensor, kernel: str, source: str) -> Tensor:
    return torch.empty_like(input)


for _name, _real, _meta in (
    ("attention", _attention, _attention_shape),
    ("attention_backward", _backward, _backward_shape),
    ("rotary", _rotary, _rotary_shape),
):
    _LIBRARY.impl(_name, _real, "CPU")
    _LIBRARY.impl(_name, _meta, "Meta")
