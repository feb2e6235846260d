"""Finds which tensor of the checkpoint loads into which of the model, renamed as the installed transformers does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from analyzer.loaders.files.checkpoint_headers import Stored
from analyzer.loaders.versions.installed import installed


def match(model: Any, stored: Mapping[str, Stored]) -> tuple[dict[str, Stored], list[str]]:
    """Name in the model -> how the checkpoint stores it, and the names there that the model has no place for.

    Of tensors that are fused into one, the first says; an operation that splits one gives it to each of its parts.
    """
    names, rename = model.state_dict(), installed.renamer(model, stored)
    found: dict[str, Stored] = {}
    unused = []
    for name in sorted(stored):
        targets = [target for target in rename(name) if target in names]
        for target in targets:
            alone = len(targets) == 1 and target not in found
            found[target] = replace(found.get(target, stored[name]), alone=alone)
        unused += [] if targets else [name]
    return _tied(model, found), unused


def reshaped(model: Any, found: Mapping[str, Stored]) -> dict[str, tuple[int, ...]]:
    """Tensors of the model that are stored in another shape -> that shape.

    What is fused or split on the way is left out, and so is what only has its dimensions in another order.
    """
    places = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items() if name in found}
    return {
        name: found[name].shape
        for name, shape in places.items()
        if found[name].alone and sorted(found[name].shape) != sorted(shape)
    }


def _tied(model: Any, found: dict[str, Stored]) -> dict[str, Stored]:
    """Tied names are one tensor: what is stored of one is stored of all."""
    tensors = dict(model.named_parameters(remove_duplicate=False))
    by_tensor = {id(tensors[name]): one for name, one in found.items() if name in tensors}
    return found | {n: by_tensor[id(t)] for n, t in tensors.items() if n not in found and id(t) in by_tensor}
