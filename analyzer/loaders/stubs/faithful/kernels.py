"""Kernels that a model's own code launches: they write nothing, as what they fill has its dtype and shape before."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

Names = dict[str, Any]


class Kernel:
    """A kernel of triton or cpm-kernels: made of anything, launched with anything."""

    def __init__(self, fn: object = None, *_: object, **__: object) -> None:
        self.fn, self.__name__ = fn, str(getattr(fn, "__name__", "kernel"))
        self.arg_names = list(inspect.signature(fn).parameters) if inspect.isfunction(fn) else []

    def __call__(self, *_: object, **__: object) -> None:
        """Do nothing."""

    run = __call__
    warmup = __call__

    def __getitem__(self, _: object) -> Kernel:
        return self


class KernelInterface:
    """What classes of kernels are derived from in triton: `kernel[grid](...)` calls `run`."""

    def __class_getitem__(cls, _: object) -> type:
        return cls

    def __getitem__(self, grid: object) -> Callable[..., Any]:
        return lambda *args, **kwargs: self.run(*args, grid=grid, **kwargs)

    def run(self, *_: object, **__: object) -> Any:
        """Do nothing."""


class Config:
    """One way to launch a kernel."""

    def __init__(
        self, kwargs: dict[str, Any], num_warps: int = 4, num_stages: int = 2, pre_hook: object = None, **_: object
    ) -> None:
        self.kwargs, self.num_warps, self.num_stages, self.pre_hook = kwargs, num_warps, num_stages, pre_hook


def triton() -> Names:
    """What `triton` itself has."""

    def jit(function: object = None, **_: object) -> Any:
        return Kernel(function) if function is not None else jit

    def decorator(*_: object, **__: object) -> Callable[[Any], Any]:
        return lambda kernel: kernel

    def cdiv(x: int, y: int) -> int:
        return -(-x // y)

    def next_power_of_2(n: int) -> int:
        return 1 << max(n - 1, 0).bit_length()

    made = {"jit": jit, "autotune": decorator, "heuristics": decorator, "cdiv": cdiv, "Config": Config}
    return {**made, "next_power_of_2": next_power_of_2, "KernelInterface": KernelInterface}


def timings() -> Names:
    """What `triton.testing` has: nothing takes any time."""
    return {"do_bench": lambda *_, **__: 0.0}


def cpm_kernels() -> Names:
    """What `cpm_kernels.kernels.base` has."""
    return {"LazyKernelCModule": Kernel, "KernelFunction": Kernel, "round_up": lambda x, d: (x + d - 1) // d * d}


def layernorm_gated() -> Names:
    """What `mamba_ssm.ops.triton.layernorm_gated` has: computed in float32, and given in the input's dtype."""

    def rmsnorm_fn(
        x: Tensor, weight: Tensor, bias: Tensor | None, z: Tensor | None = None, eps: float = 1e-6,
        group_size: int | None = None, norm_before_gate: bool = True,
    ) -> Tensor:  # fmt: skip
        wide, gate = x.float(), F.silu(z.float()) if z is not None else None
        if gate is not None and not norm_before_gate:
            wide = wide * gate
        groups = wide.unflatten(-1, (-1, group_size or x.shape[-1]))  # type: ignore[no-untyped-call]
        made = (groups * torch.rsqrt(groups.square().mean(dim=-1, keepdim=True) + eps)).flatten(-2) * weight.float()
        made = made + bias.float() if bias is not None else made
        made = made * gate if gate is not None and norm_before_gate else made
        result: Tensor = made.to(x.dtype)
        return result

    return {"rmsnorm_fn": rmsnorm_fn}
