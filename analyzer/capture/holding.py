"""Takes the inventory of a module: each tensor once, under its first name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import nn

from analyzer.capture.abstract import spec_of
from analyzer.graph import NOWHERE, Place
from analyzer.inventory import Held, Inventory


def take(
    module: nn.Module,
    *,
    reasons: Mapping[str, str] | None = None,
    places: Mapping[str, Place] | None = None,
    saved: Mapping[str, tuple[str, str]] | None = None,
    **facts: Any,
) -> Inventory:
    """What the module holds; `saved` is name -> dtype and shard in the checkpoint, `facts` are other fields."""
    reasons, places, saved = reasons or {}, places or {}, saved or {}
    hidden = set(_hidden(module))
    tensors = []
    for kind, name, tensor in _tensors(module):
        dtype, shard = saved.get(name, ("", ""))
        tensors.append(
            Held(
                kind, name, spec_of(tensor), tensor.requires_grad, name not in hidden, dtype, shard,
                places.get(name, NOWHERE), reasons.get(name, ""),
            )
        )  # fmt: skip
    classes = {path: type(part).__name__ for path, part in module.named_modules()}
    no_split = tuple(sorted(getattr(module, "_no_split_modules", None) or ()))
    return Inventory(tuple(tensors), classes, no_split, **facts)


def _tensors(module: nn.Module) -> Iterator[tuple[str, str, torch.Tensor]]:
    for name, parameter in module.named_parameters():
        yield "parameter", name, parameter
    for name, buffer in module.named_buffers():
        yield "buffer", name, buffer


def _hidden(module: nn.Module) -> Iterator[str]:
    """Full names of the buffers that no state dict holds."""
    for path, part in module.named_modules():
        for leaf in part._non_persistent_buffers_set:
            yield f"{path}.{leaf}" if path else leaf
