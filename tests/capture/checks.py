"""Checks that a model may make in Python: of a dtype in several forms, and of something else."""

from __future__ import annotations

import torch


def by_if(x: torch.Tensor) -> None:
    if x.dtype != torch.bfloat16:
        raise ValueError("only bf16")


def by_assert(x: torch.Tensor) -> None:
    assert x.dtype in (torch.bfloat16, torch.float16), "only halves"


def by_method(x: torch.Tensor) -> None:
    if x.is_floating_point():
        raise TypeError("only integers")


def by_else(x: torch.Tensor) -> None:
    if x.dtype == torch.bfloat16:
        return
    else:
        raise ValueError("only bf16")


def of_shape(x: torch.Tensor) -> None:
    wide = x.to(x.dtype)
    if wide.shape[0] != 3:
        raise ValueError("only three rows")


def of_nothing(x: torch.Tensor) -> None:
    x[7]
