"""Finds which tensor of the checkpoint loads into which of the model, renamed as the installed transformers does."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any

from analyzer.loaders.headers import Stored


def match(model: Any, stored: Mapping[str, Stored]) -> tuple[dict[str, Stored], list[str]]:
    """Name in the model -> how the checkpoint stores it, and the names there that the model has no place for.

    Of tensors that are fused into one, the first says; an operation that splits one gives it to each of its parts.
    """
    names = model.state_dict()
    renamings, converters = _mapping(model)
    found: dict[str, Stored] = {}
    unused = []
    for name in sorted(stored):
        targets = [target for target in _targets(model, name, names, renamings, converters) if target in names]
        for target in targets:
            found.setdefault(target, stored[name])
        unused += [] if targets else [name]
    return _tied(model, found), unused


def _mapping(model: Any) -> tuple[list[Any], list[Any]]:
    if not find_spec("transformers.core_model_loading") or not hasattr(model, "base_model_prefix"):
        return [], []
    from transformers.conversion_mapping import get_model_conversion_mapping
    from transformers.core_model_loading import WeightConverter, WeightRenaming

    entries = get_model_conversion_mapping(model, None, None)
    return (
        [entry for entry in entries if isinstance(entry, WeightRenaming)],
        [entry for entry in entries if isinstance(entry, WeightConverter)],
    )


def _targets(model: Any, name: str, names: dict[str, Any], renamings: list[Any], converters: list[Any]) -> list[str]:
    """As `convert_and_load_state_dict_in_model` (transformers/core_model_loading.py) renames one tensor."""
    if not find_spec("transformers.core_model_loading") or not hasattr(model, "base_model_prefix"):
        return [name]
    from transformers.core_model_loading import rename_source_key

    prefix = model.base_model_prefix
    target, pattern = rename_source_key(name, renamings, converters, prefix, names)
    if target not in names and name in names:
        target, pattern = rename_source_key(name, [], [], prefix, names)
    if pattern is None:
        return [target]
    patterns = next(one.target_patterns for one in converters if pattern in one.source_patterns)
    return [target.replace(patterns[0], other) for other in patterns]


def _tied(model: Any, found: dict[str, Stored]) -> dict[str, Stored]:
    """Tied names are one tensor: what is stored of one is stored of all."""
    tensors = dict(model.named_parameters(remove_duplicate=False))
    by_tensor = {id(tensors[name]): one for name, one in found.items() if name in tensors}
    return found | {n: by_tensor[id(t)] for n, t in tensors.items() if n not in found and id(t) in by_tensor}
