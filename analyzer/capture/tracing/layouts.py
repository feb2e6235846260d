"""Memory layouts that the meta kernel gets wrong: the later view, copy or product depends on them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import torch


def stride(op: str, args: Any, index: int, made: torch.Tensor) -> tuple[int, ...]:
    """The stride, in elements, of output number `index` of a call that the meta kernel gave as `made`."""
    rule = _RULES.get(op)
    return rule(args[0], made) if rule and index == 0 else made.stride()


def _suggested(given: torch.Tensor, made: torch.Tensor) -> tuple[int, ...]:
    """Batch norm allocates in the operand's suggested format (aten/src/ATen/native/Normalization.cpp)."""
    last = {4: torch.channels_last, 5: torch.channels_last_3d}.get(given.dim())
    follows = last is not None and not given.is_contiguous() and given.is_contiguous(memory_format=last)
    format_: Any = last if follows else torch.contiguous_format
    return torch.empty_like(made, memory_format=format_).stride()


_RULES: Final[dict[str, Callable[[torch.Tensor, torch.Tensor], tuple[int, ...]]]] = {
    "aten.native_batch_norm.default": _suggested,
    "aten._native_batch_norm_legit.default": _suggested,
    "aten._native_batch_norm_legit_no_training.default": _suggested,
}
