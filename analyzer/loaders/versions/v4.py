"""Building and loading as transformers 4 does it, from 4.44 on."""

from __future__ import annotations

import contextlib
import re
import sys
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, Final

import torch
from torch import nn
from torch.nn.modules import module as hooks
from torch.overrides import TorchFunctionMode

from analyzer.loaders.default_dtype import default_dtype
from analyzer.loaders.files.checkpoint_headers import Stored

FLOAT_ATTRIBUTE: Final = "torch_dtype"
KEPT: Final = "_keep_in_fp32_modules"
STRICT: Final = "_keep_in_fp32_modules_strict"
_LARGE: Final = 1 << 20
"""Elements; a buffer with more goes to the meta device at once."""


def constructing(_: object, dtype: torch.dtype) -> list[Any]:
    """Constructors run for real, and what they register goes to the meta device, as under `init_empty_weights`."""
    skip = getattr(sys.modules["transformers.modeling_utils"], "no_init_weights", None)
    return [default_dtype(dtype), _registering_on_meta(), _EmptyOnMeta(), *([skip()] if skip else [])]


def kept_wide(model: nn.Module, dtype: torch.dtype) -> dict[str, str]:
    """Whole parts of a name, for float16 only; the strict list (from 4.53 on) holds for bfloat16 as well.

    4.50 alone keeps whatever has one of the words in its name, and for every dtype.
    """
    if _keeps_for_every_dtype():
        return {re.escape(name): KEPT for name in sorted(getattr(model, KEPT, None) or ())}
    knows_strict = hasattr(sys.modules["transformers.modeling_utils"].PreTrainedModel, STRICT)
    lists = {KEPT: dtype == torch.float16, STRICT: knows_strict and dtype in (torch.float16, torch.bfloat16)}
    return {
        rf"(?:^|\.){name}(?:$|\.)": which
        for which, holds in lists.items()
        for name in sorted(getattr(model, which, None) or ())
        if holds
    }


def _keeps_for_every_dtype() -> bool:
    return str(sys.modules["transformers"].__version__).startswith("4.50.")


def default_asked() -> torch.dtype:
    """What `from_pretrained` without a dtype takes: the default dtype, which the model around it has set."""
    return torch.get_default_dtype()


def mark_trained(_: nn.Module) -> None:
    """Loading leaves it to the constructor which parameters are trained."""


def compute(_: nn.Module) -> None:
    """Nothing: constructors run for real."""


def assigned(model: nn.Module, dtype: torch.dtype, saved: Mapping[str, Stored]) -> dict[str, str]:
    """From 4.43 on, for some versions, stored tensors are put into their places and not copied into what is there.

    So they keep the dtype that they are stored in, if the first one has the dtype that the model was built in; and are
    all cast where a keep-in-fp32 list counts, as that list makes loading go tensor by tensor
    (`check_support_param_buffer_assignment` and `_load_state_dict_into_meta_model`, transformers/modeling_utils.py).
    """
    if not hasattr(sys.modules["transformers.modeling_utils"], "check_support_param_buffer_assignment") or not saved:
        return {}
    kept = set(getattr(model, KEPT, None) or ())
    if _keeps_for_every_dtype() and getattr(model, KEPT, None) is not None:
        return {}  # tensor by tensor, each cast to the dtype of its place
    if kept and dtype == torch.float16:
        return {name: "float16" for name in saved if not kept & set(name.split("."))}
    first, tensor = next(iter(model.state_dict().items()))
    stored = saved.get(first)
    is_same = stored is not None and str(tensor.dtype) == f"torch.{stored.dtype}"
    if not is_same or saved[first].shard != min(one.shard for one in saved.values()):
        return {}
    supports = getattr(model, "_supports_param_buffer_assignment", True)
    return {name: one.dtype for name, one in saved.items()} if supports else {}


def renamer(model: Any, stored: Collection[str]) -> Callable[[str], list[str]]:
    """With the prefix of the base model put before names or taken away, and old names made new."""
    prefix = getattr(model, "base_model_prefix", "")
    saved_in_task = bool(prefix) and any(name.startswith(prefix) for name in stored)
    is_task = bool(prefix) and hasattr(model, prefix)
    base_from_task, task_from_base = saved_in_task and not is_task, is_task and not saved_in_task
    if hasattr(model, "_get_key_renaming_mapping"):  # 4.50 and later
        try:
            renamed: dict[str, str] = model._get_key_renaming_mapping(
                sorted(stored), _renamings(type(model)), base_from_task, task_from_base
            )
        except ValueError:  # it takes the names for those of another model, as where shards are missing
            return lambda name: [name]
        return lambda name: [renamed[name]] if name in renamed else []

    heads = {name for name in model.state_dict() if not name.startswith(f"{prefix}.")}

    def rename(name: str) -> list[str]:
        name = name.replace("beta", "bias").replace("gamma", "weight")
        if base_from_task:
            return [name.removeprefix(f"{prefix}.")]
        return [f"{prefix}.{name}" if task_from_base and name not in heads else name]

    return rename


def _renamings(cls: Any) -> object:
    """The class's own renamings, which hold for a list of families only."""
    families = getattr(sys.modules["transformers.modeling_utils"], "VLMS", ())
    own = any(family in base.__name__.lower() for base in cls.__mro__[:-1] for family in families)
    return getattr(cls, "_checkpoint_conversion_mapping", None) if own else None


class _EmptyOnMeta(TorchFunctionMode):
    """Large tensors that have no values yet are made on the meta device.

    Allocated and freed in turn, those of 1,440 experts leave the heap of glibc in pieces: 24 GB of address space.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.empty and "out" not in (kwargs or {}):
            shape = func(*args, **{**(kwargs or {}), "device": "meta"})
            if shape.numel() > _LARGE:
                return shape
        return func(*args, **(kwargs or {}))


@contextlib.contextmanager
def _registering_on_meta() -> Iterator[None]:
    """Parameters and large buffers lose their storage when they are registered; all else is computed for real."""
    handles = [
        hooks.register_module_parameter_registration_hook(_parameter_to_meta),
        hooks.register_module_buffer_registration_hook(_large_to_meta),
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _parameter_to_meta(_: nn.Module, __: str, parameter: Any) -> Any:
    if parameter is None or parameter.is_meta:
        return None
    return type(parameter)(parameter.detach().to("meta"), requires_grad=parameter.requires_grad)


def _large_to_meta(_: nn.Module, __: str, buffer: Any) -> Any:
    return buffer.to("meta") if buffer is not None and buffer.numel() > _LARGE else None
