"""Takes the inventory of a module: each tensor once, under its first name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import nn

from analyzer.capture.tensor import spec_of
from analyzer.ir.graph import NOWHERE, Place
from analyzer.ir.inventory import Held, Inventory
from analyzer.ir.literal_types import HeldKind
from analyzer.ir.reason import UNKNOWN, Reason


def inventory_of(
    module: nn.Module,
    *,
    reasons: Mapping[str, Reason] | None = None,
    places: Mapping[str, Place] | None = None,
    saved: Mapping[str, tuple[str, str]] | None = None,
    **facts: Any,
) -> Inventory:
    """What the module holds; `saved` is name -> dtype and shard in the checkpoint, `facts` are other fields."""
    reasons, places, saved = reasons or {}, places or {}, saved or {}
    unsaved = set(hidden(module))
    tensors = []
    for kind, name, tensor in _tensors(module):
        dtype, shard = saved.get(name, ("", ""))
        tensors.append(
            Held(
                kind, name, spec_of(tensor), tensor.requires_grad, name not in unsaved, dtype, shard,
                places.get(name, NOWHERE), reasons.get(name, UNKNOWN),
            )
        )  # fmt: skip
    classes = {path: type(part).__name__ for path, part in module.named_modules()}
    no_split = tuple(sorted(getattr(module, "_no_split_modules", None) or ()))
    return Inventory(tuple(tensors), classes, no_split, tuple(_ends(module)), **facts)


def _tensors(module: nn.Module) -> Iterator[tuple[HeldKind, str, torch.Tensor]]:
    for name, parameter in module.named_parameters():
        yield "parameter", name, parameter
    for name, buffer in module.named_buffers():
        yield "buffer", name, buffer


def _ends(module: nn.Module) -> Iterator[tuple[str, ...]]:
    """The embedding, then the last norm and the head, as `fsdp2_prepare_model` of accelerate 1.15 finds them.

    An embedding that is tied to the head belongs to the second group.
    """
    paths = {id(part): path for path, part in module.named_modules()}
    embedding, head = (_said(module, name) for name in ("get_input_embeddings", "get_output_embeddings"))
    inner = getattr(module, getattr(module, "base_model_prefix", ""), module)
    norms = [part for _, part in inner.named_children() if "Norm" in type(part).__name__]
    weights = [getattr(part, "weight", None) for part in (embedding, head)]
    tied = weights[0] is not None and weights[0] is weights[1]
    for group in ([] if tied else [embedding], [*norms[-1:], *([embedding] if tied else []), head]):
        found = tuple(paths[id(part)] for part in group if id(part) in paths)
        if found:
            yield found


def _said(module: nn.Module, method: str) -> object:
    try:
        return getattr(module, method)()
    except (AttributeError, NotImplementedError):
        return None


def hidden(module: nn.Module) -> Iterator[str]:
    """Full names of the buffers that no state dict holds, shared ones under each."""
    for path, part in module.named_modules(remove_duplicate=False):
        for leaf in part._non_persistent_buffers_set:
            yield f"{path}.{leaf}" if path else leaf
