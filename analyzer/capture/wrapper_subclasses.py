"""Tensors that wrap others, such as DTensor or a jagged nested tensor: they run their own code on what they hold."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch.utils._python_dispatch import is_traceable_wrapper_subclass

from analyzer.errors import AnalyzerError

_WRAPS: dict[type, bool] = {}


def wraps(kind: type) -> bool:
    """Whether tensors of a class run code of their own for every operation, on what they hold."""
    known = _WRAPS.get(kind)
    if known is None:
        plain = getattr(kind, "__torch_dispatch__", None) in (None, torch.Tensor.__torch_dispatch__)
        ours = getattr(kind, "of_captures", False) or kind.__module__ == "torch._subclasses.fake_tensor"
        known = _WRAPS[kind] = issubclass(kind, torch.Tensor) and not plain and not ours
    return known


def has_values(tensor: torch.Tensor) -> bool:
    """Whether a tensor can be read, or a real one made in its place: not of one that wraps others, or of `vmap`."""
    return not wraps(type(tensor)) and not torch._C._functorch.is_functorch_wrapped_tensor(tensor)


def held(tensor: torch.Tensor) -> Iterator[torch.Tensor]:
    """The plain tensors that a tensor holds, in order; itself if it is plain, none if it does not say."""
    if not is_traceable_wrapper_subclass(tensor):
        if not wraps(type(tensor)):
            yield tensor
        return
    for name in tensor.__tensor_flatten__()[0]:
        part = getattr(tensor, name)
        if isinstance(part, torch.Tensor):
            yield from held(part)


def rebuilt(tensor: Any, name: str, leaf: Callable[[torch.Tensor, str], torch.Tensor]) -> torch.Tensor:
    """The tensor with `leaf` of each plain tensor that it holds, and its name, in that one's place.

    Raises AnalyzerError for a tensor of a class that does not say what it holds.
    """
    if not is_traceable_wrapper_subclass(tensor):
        if wraps(type(tensor)):
            raise AnalyzerError(f"{name} is a {type(tensor).__name__}, which is not traced", hint="give plain tensors")
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
