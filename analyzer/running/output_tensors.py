"""Finds the tensors in whatever a run returned."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import torch
from torch import nn


def leaves(value: object, depth: int = 0) -> Iterator[torch.Tensor]:
    """Every tensor in a result, in order; caches and other objects are looked into."""
    if isinstance(value, torch.Tensor):
        yield value
        return
    if depth > 6 or value is None or isinstance(value, (str, bytes, int, float, nn.Module)):
        return
    if isinstance(value, Mapping):
        parts: list[Any] = list(value.values())
    elif isinstance(value, (list, tuple)):
        parts = list(value)
    elif is_dataclass(value) and not isinstance(value, type):
        parts = [getattr(value, f.name) for f in fields(value)]
    else:
        parts = list(vars(value).values()) if hasattr(value, "__dict__") else []
    for part in parts:
        yield from leaves(part, depth + 1)
