"""Building and loading as transformers 5 does it, by its own functions."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, Final

import torch
from torch import nn

from analyzer.loaders.headers import Stored
from analyzer.loaders.worlds import four

FLOAT_ATTRIBUTE: Final = "dtype"


def constructing(cls: Any, dtype: torch.dtype) -> list[Any]:
    """The class's own contexts: meta device, default dtype, no initialisation."""
    if hasattr(cls, "get_init_context"):
        return list(cls.get_init_context(dtype, False, False, None))
    return four.constructing(cls, dtype)


def kept_wide(model: Any, dtype: torch.dtype) -> dict[str, str]:
    """As the model's own plan of dtypes says, in the expressions that build_glob_alternation makes of names."""
    if not hasattr(model, "_get_dtype_plan"):
        return four.kept_wide(model, dtype)
    strict = set(getattr(model, four.STRICT, None) or ())
    return {
        name.replace("*", r".*"): four.STRICT if name in strict else four.KEPT
        for name in sorted(model._get_dtype_plan(dtype))
    }


def settle(model: nn.Module) -> None:
    """Loading puts a new parameter in each place, and every float one of these is trained.

    So what a constructor froze is frozen no more (`set_param_for_module`, transformers/core_model_loading.py).
    """
    for parameter in model.parameters():
        parameter.requires_grad_(parameter.is_floating_point())


def assigned(_: Any, __: torch.dtype, ___: Mapping[str, Stored]) -> dict[str, str]:
    """None: a stored tensor is cast to the dtype of the place that it loads into."""
    return {}


def renamer(model: Any, stored: Collection[str]) -> Callable[[str], list[str]]:
    """As `convert_and_load_state_dict_in_model` (transformers/core_model_loading.py) renames tensors.

    Of tensors that are fused into one, each gives its name; one that is split gives those of all its parts.
    """
    if not hasattr(model, "base_model_prefix"):
        return lambda name: [name]
    from transformers.conversion_mapping import get_model_conversion_mapping
    from transformers.core_model_loading import WeightConverter, WeightRenaming, rename_source_key

    entries = get_model_conversion_mapping(model, None, None)
    renamings = [entry for entry in entries if isinstance(entry, WeightRenaming)]
    converters = [entry for entry in entries if isinstance(entry, WeightConverter)]
    names, prefix = model.state_dict(), model.base_model_prefix

    def rename(name: str) -> list[str]:
        target, pattern = rename_source_key(name, renamings, converters, prefix, names)
        if target not in names and name in names:
            target, pattern = rename_source_key(name, [], [], prefix, names)
        if pattern is None:
            return [target]
        patterns = next(one.target_patterns for one in converters if pattern in one.source_patterns)
        return [target.replace(patterns[0], other) for other in patterns]

    return rename
