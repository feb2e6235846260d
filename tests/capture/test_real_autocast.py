"""Autocast of CUDA on real CPU tensors: the dtypes that the trace says, and afterwards all is as it was."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F

from analyzer import Plan, trace
from analyzer.capture.autocast.real_tensors import autocast_of
from analyzer.capture.tensor import dtype_name

CALLS: dict[str, Callable[[torch.Tensor, torch.Tensor], torch.Tensor]] = {
    "linear": F.linear,
    "matmul": lambda x, w: x @ w,
    "softmax": lambda x, w: torch.softmax((x @ w), -1),
    "pow": lambda x, w: (x @ w).pow(2),
    "layer_norm": lambda x, w: F.layer_norm(x @ w, (4,)),
    "cat": lambda x, w: torch.cat([x, x @ w]),
    "sum": lambda x, w: (x @ w).sum(),
    "conv1d": lambda x, w: F.conv1d(x[None], w[..., None]),
    "gelu": lambda x, w: F.gelu(x @ w),
    "cross_entropy": lambda x, w: F.cross_entropy(x @ w, torch.tensor([0, 1, 2, 3])),
    "addcmul": lambda x, w: torch.addcmul(x, w @ w, x @ w),
    "sdpa": lambda x, w: F.scaled_dot_product_attention(x[None], (x @ w)[None], w[None]),
}
X, W = torch.ones(4, 4), torch.eye(4)


def _real(call: Callable[[torch.Tensor, torch.Tensor], torch.Tensor], device: str, lower: torch.dtype) -> torch.dtype:
    with autocast_of(device), torch.autocast(device, dtype=lower):
        return call(X, W).dtype


@pytest.mark.parametrize("device", ["cuda", "cpu"])
@pytest.mark.parametrize("lower", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("name", CALLS)
def test_a_real_call_gives_the_dtype_that_the_trace_gives(name: str, lower: torch.dtype, device: str) -> None:
    plan = Plan(device=device, autocast=f"{device}:{dtype_name(lower)}", scope="run")  # type: ignore[arg-type]
    assert trace(CALLS[name], (X, W), plan=plan).outputs == (dtype_name(_real(CALLS[name], device, lower)),)


def test_the_two_devices_differ_and_afterwards_the_cpu_has_its_own() -> None:
    differ = {n for n, call in CALLS.items() if len({_real(call, d, torch.bfloat16) for d in ("cuda", "cpu")}) == 2}
    assert {"softmax", "pow", "layer_norm", "sum"} <= differ
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert CALLS["softmax"](X, W).dtype == torch.bfloat16
    assert not torch.is_autocast_enabled("cuda") and not torch.is_autocast_enabled("cpu")


def test_gradients_reach_a_weight_whose_cast_is_kept() -> None:
    w = W.clone().requires_grad_()
    with autocast_of("cuda"), torch.autocast("cuda", dtype=torch.bfloat16):
        y = (X @ w) @ w
        (y.float() ** 2).sum().backward()  # type: ignore[no-untyped-call]
    wide = W.clone().requires_grad_()
    (((X @ wide) @ wide) ** 2).sum().backward()  # type: ignore[no-untyped-call]
    assert w.grad is not None and wide.grad is not None
    assert torch.allclose(w.grad, wide.grad, rtol=0.05)
