"""Stand-ins for kernels of other libraries, which take fewer dtypes than torch's own."""

from __future__ import annotations

import torch


@torch.library.custom_op("of_the_corpus::flash", mutates_args=())
def flash(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    """Attention by a kernel that takes halves alone."""
    halves = (torch.float16, torch.bfloat16)
    torch._check(q.dtype in halves, lambda: "FlashAttention only support fp16 and bf16 data type")
    torch._check(q.dtype == k.dtype == v.dtype, lambda: "query, key, value must have the same dtype")
    return (q.float() @ k.float().mT / q.shape[-1] ** 0.5).softmax(-1).to(v.dtype) @ v


@torch.library.custom_op("of_the_corpus::fused_rms_norm", mutates_args=())
def fused_rms_norm(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """A norm in which both operands have one dtype."""
    torch._check(x.dtype == weight.dtype, lambda: f"expected scalar type {x.dtype} but found {weight.dtype}")
    return x * (x.float().square().mean(-1, keepdim=True) + 1e-6).rsqrt().to(x.dtype) * weight


@flash.register_fake
@fused_rms_norm.register_fake
def _like_the_first(x: torch.Tensor, *others: torch.Tensor) -> torch.Tensor:
    return torch.empty_like(x)
