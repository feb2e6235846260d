"""Runs a model in float64 whatever dtypes its code writes: what its values would be if nothing were rounded."""

from __future__ import annotations

import copy
from contextlib import suppress
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map

from analyzer.ir import walk


def wide(value: Any) -> Any:
    """A tensor or a dtype of floats or complex numbers, in 64 bits a part; anything else as it is."""
    if isinstance(value, torch.Tensor):
        return value.to(target) if (target := wide(value.dtype)) != value.dtype else value
    if isinstance(value, torch.dtype) and (value.is_floating_point or value.is_complex):
        return torch.complex128 if value.is_complex else torch.float64
    return value


_NARROWER = (torch.float32, torch.bfloat16)
"""What a kernel is given that takes no float64."""


class InFloat64(TorchDispatchMode):
    """Every operation is given, and told, float64, or the widest dtype that it takes; every result is in float64."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        args, kwargs = tree_map(wide, args), tree_map(wide, kwargs or {})
        try:
            return tree_map(wide, func(*args, **kwargs))
        except RuntimeError as error:
            for dtype in _NARROWER:
                with suppress(RuntimeError):
                    return tree_map(wide, func(*_in(dtype, args), **_in(dtype, kwargs)))
            raise error


def _in(dtype: torch.dtype, arg: Any) -> Any:
    def cast(one: Any) -> Any:
        return one.to(dtype) if isinstance(one, torch.Tensor) and one.is_floating_point() else one

    return tree_map(cast, arg)


def widened(module: nn.Module, inputs: Any, *, whole: bool = False) -> tuple[nn.Module, Any]:
    """A copy of a module and its inputs, in float64; with `whole`, inputs of whole numbers too, such as an image's."""
    module = copy.deepcopy(module)
    for tensor in (*module.parameters(), *module.buffers()):
        tensor.data = wide(tensor.data)
    for part in module.modules():
        for name, value in vars(part).items():
            if isinstance(value, torch.Tensor):
                setattr(part, name, wide(value))
    return module, walk.changed_with_path(
        inputs, torch.Tensor, lambda one, _: one.double() if whole else wide(one.clone())
    )
