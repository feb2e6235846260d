"""Tensors that wrap others, such as DTensor or a jagged nested tensor: they run their own code on what they hold."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch.utils._python_dispatch import is_traceable_wrapper_subclass, is_traceable_wrapper_subclass_type

_WRAPS: dict[type, bool] = {}


def wraps(kind: type) -> bool:
    """Whether a class is one of tensors that hold others, which do the work."""
    known = _WRAPS.get(kind)
    if known is None:
        known = _WRAPS[kind] = issubclass(kind, torch.Tensor) and is_traceable_wrapper_subclass_type(kind)
    return known


def held(tensor: torch.Tensor) -> Iterator[torch.Tensor]:
    """The plain tensors that a tensor holds, in order; itself if it is plain."""
    if not is_traceable_wrapper_subclass(tensor):
        yield tensor
        return
    for name in tensor.__tensor_flatten__()[0]:
        part = getattr(tensor, name)
        if isinstance(part, torch.Tensor):
            yield from held(part)


def rebuilt(tensor: Any, name: str, leaf: Callable[[torch.Tensor, str], torch.Tensor]) -> torch.Tensor:
    """The tensor with `leaf` of each plain tensor that it holds, and its name, in that one's place."""
    if not is_traceable_wrapper_subclass(tensor):
        return leaf(tensor, name)
    names, context = tensor.__tensor_flatten__()
    parts = {key: getattr(tensor, key) for key in names}
    several = sum(isinstance(part, torch.Tensor) for part in parts.values()) > 1
    for key, part in parts.items():
        if isinstance(part, torch.Tensor):
            parts[key] = rebuilt(part, f"{name}.{key.lstrip('_')}" if several else name, leaf)
    made: Any = type(tensor).__tensor_unflatten__(parts, context, tensor.size(), tensor.stride())
    if isinstance(tensor, torch.nn.Parameter):
        made._is_param = True
    whole: Any = tensor
    return made.requires_grad_(whole.requires_grad) if whole.is_leaf else made  # type: ignore[no-any-return]
