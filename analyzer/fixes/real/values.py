"""Gives a model real values: random ones where it has none, those of another model where two are to be compared."""

from __future__ import annotations

from dataclasses import replace
from math import prod, sqrt
from typing import Any, Final
from zlib import crc32

import torch
from torch import nn

from analyzer.capture import Loaded
from analyzer.ir import walk
from analyzer.ir.plan import Plan

_STEP: Final = 0.02
"""How large the numbers of a vector are, such as a bias."""


def filled(loaded: Loaded) -> Loaded:
    """The model with a value for every stored tensor that has none, in place, and inputs of which none is only zeros.

    What is without data, or was never written, gets random numbers that depend on its name and shape alone.
    """
    made: dict[int, torch.Tensor] = {}
    for path, module in loaded.module.named_modules():
        for name, parameter in module._parameters.items():
            if parameter is not None and _is_empty(parameter):
                if id(parameter) not in made:
                    value = _random(f"{path}.{name}", parameter, like_one=name == "weight")
                    made[id(parameter)] = nn.Parameter(value, parameter.requires_grad)
                module._parameters[name] = made[id(parameter)]
        for name, buffer in module._buffers.items():
            if buffer is not None and _is_empty(buffer):
                module._buffers[name] = _random(f"{path}.{name}", buffer)

    def given(tensor: torch.Tensor, path: walk.Path) -> torch.Tensor:
        if _is_empty(tensor) or (loaded.invented and tensor.is_floating_point() and not tensor.any()):
            return _random(".".join(map(str, path)), tensor, size=1.0)
        return tensor

    return replace(loaded, inputs=walk.changed_with_path(loaded.inputs, torch.Tensor, given))


def like(loaded: Loaded, other: Loaded, plan: Plan) -> Loaded:
    """The model with the values of another one, in place, wherever names and shapes are the same; the inputs as well.

    Each keeps its own dtype; an input that has none here is in the dtype that the plan gives it, else in the other's.
    """
    before = {**dict(other.module.named_parameters()), **dict(other.module.named_buffers())}
    stored = {**dict(loaded.module.named_parameters()), **dict(loaded.module.named_buffers())}
    with torch.no_grad():
        for name, tensor in stored.items():
            if name in before and before[name].shape == tensor.shape:
                tensor.copy_(before[name])
    own: dict[walk.Path, torch.Tensor] = {}
    walk.changed_with_path(loaded.inputs, torch.Tensor, lambda tensor, path: own.setdefault(path, tensor))

    def given(tensor: torch.Tensor, path: walk.Path) -> torch.Tensor:
        name = ".".join(map(str, path))
        asked = next(
            (dtype for key, dtype in plan.input_dtypes.items() if name == key or name.startswith(f"{key}.")), ""
        )
        mine = own.get(path)
        dtype = getattr(torch, asked) if asked else tensor.dtype if mine is None else mine.dtype
        return tensor.to(dtype)

    return replace(loaded, inputs=walk.changed_with_path(other.inputs, torch.Tensor, given))


def _is_empty(tensor: torch.Tensor) -> bool:
    """Whether a tensor has no data, or holds what nobody has written: NaN, as `repeatable` has it."""
    if tensor.is_meta:
        return True
    return tensor.is_floating_point() and tensor.dtype.itemsize > 1 and bool(tensor.isnan().any())


def _random(name: str, tensor: torch.Tensor, *, size: float = 0.0, like_one: bool = False) -> torch.Tensor:
    """Random numbers in the shape and dtype of a tensor: as large as a layer of it keeps what goes through it."""
    shape = tuple(tensor.shape)
    if not (tensor.is_floating_point() or tensor.is_complex()):
        return torch.zeros(shape, dtype=tensor.dtype)
    source = torch.Generator().manual_seed(crc32(f"{name} {shape}".encode()))
    numbers = torch.randn(shape, generator=source, dtype=torch.float32)
    if size:
        return (numbers * size).to(tensor.dtype)
    if len(shape) < 2:
        return (like_one + numbers * _STEP).to(tensor.dtype)
    return (numbers / sqrt(prod(shape[1:]) or 1)).to(tensor.dtype)


def count(module: nn.Module) -> int:
    """How many elements the stored tensors of a model have."""
    tensors: list[Any] = [*module.parameters(), *module.buffers()]
    return sum(tensor.numel() for tensor in tensors)
