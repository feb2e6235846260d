"""Building and loading as transformers 5 does it, by its own functions."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Iterator, Mapping
from inspect import signature
from typing import Any, Final

import torch
from torch import nn

from analyzer.loaders.files.checkpoint_headers import Stored
from analyzer.loaders.versions import v4

FLOAT_ATTRIBUTE: Final = "dtype"
_SMALL: Final = 1 << 20
"""Elements; a larger table of integers stays unknown."""


def constructing(cls: type, dtype: torch.dtype) -> list[Any]:
    """The class's own contexts: meta device, default dtype, no initialisation."""
    if not hasattr(cls, "get_init_context"):
        return v4.constructing(cls, dtype)
    # As many arguments as this release gives a model's own method: the last one came with 5.3.
    release = sys.modules["transformers.modeling_utils"].PreTrainedModel
    given = (dtype, False, False, None)[: len(signature(release.get_init_context).parameters)]
    return list(cls.get_init_context(*given))


def kept_wide(model: Any, dtype: torch.dtype) -> dict[str, str]:
    """As the model's own plan of dtypes says, in the expressions that build_glob_alternation makes of names.

    The plan of 5.0 holds for every dtype; those of later releases are made for the one that is asked for.
    """
    plan = model._get_dtype_plan(dtype) if hasattr(model, "_get_dtype_plan") else getattr(model, "dtype_plan", None)
    if plan is None:
        return v4.kept_wide(model, dtype)
    strict = set(getattr(model, v4.STRICT, None) or ())
    return {name.replace("*", r".*"): v4.STRICT if name in strict else v4.KEPT for name in sorted(plan)}


def default_asked() -> str:
    """What `from_pretrained` without a dtype takes: what the config says, else the checkpoint."""
    return "auto"


def mark_trained(model: nn.Module) -> None:
    """Loading puts a new parameter in each place, and every float one of these is trained.

    So what a constructor froze is frozen no more (`set_param_for_module`, transformers/core_model_loading.py).
    """
    for parameter in model.parameters():
        parameter.requires_grad_(parameter.is_floating_point())


def compute(model: nn.Module) -> None:
    """Give integers that no checkpoint holds the values that loading computes for them.

    They are made on meta, and `_init_weights` of the model that they are part of fills them in afterwards
    (`_initialize_missing_keys`, transformers/modeling_utils.py).
    """
    for module, fill in _filled(model, None):
        unknown = {
            leaf: buffer
            for leaf, buffer in module._buffers.items()
            if buffer is not None and leaf in module._non_persistent_buffers_set and _is_table(buffer)
        }
        if unknown:
            first, second = (_fill(module, fill, unknown, value) for value in (0, 1))
            for leaf, buffer in unknown.items():  # one that keeps what it held was not filled
                filled = leaf in first and leaf in second and torch.equal(first[leaf], second[leaf])
                module._buffers[leaf] = first[leaf] if filled else buffer


def _is_table(buffer: torch.Tensor) -> bool:
    return buffer.is_meta and not buffer.is_floating_point() and buffer.numel() <= _SMALL


def _fill(module: nn.Module, fill: Any, unknown: dict[str, torch.Tensor], value: int) -> dict[str, torch.Tensor]:
    """What the model puts into buffers that hold a value; nothing where its code wants all tensors real."""
    made = {leaf: torch.full_like(buffer, value, device="cpu") for leaf, buffer in unknown.items()}
    module._buffers.update(made)
    try:
        with torch.no_grad():
            fill(module)
    except Exception:
        return {}
    return {leaf: buffer for leaf in made if (buffer := module._buffers[leaf]) is not None}


def _filled(module: nn.Module, fill: object) -> Iterator[tuple[nn.Module, object]]:
    """Each module with what fills it: the `_init_weights` of the innermost model that it is in."""
    fill = getattr(module, "_init_weights", fill)
    if fill is not None:
        yield module, fill
    for child in module.children():
        yield from _filled(child, fill)


def assigned(_: object, __: torch.dtype, ___: Mapping[str, Stored]) -> dict[str, str]:
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
