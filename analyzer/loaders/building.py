"""Builds a model without weights as the installed `from_pretrained` does, and notes the reason of each dtype."""

from __future__ import annotations

import contextlib
import os
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import torch
import transformers
from torch import nn
from torch.nn.modules import module as hooks

from analyzer.capture.module_inventory import hidden
from analyzer.capture.source_lines import SourceLines
from analyzer.ir.findings import Note
from analyzer.ir.graph import Place
from analyzer.ir.reason import Reason, kept_in_fp32
from analyzer.loaders.checkpoint_names import match
from analyzer.loaders.constructor import construct
from analyzer.loaders.files.checkpoint_headers import Stored
from analyzer.loaders.limits import check_limits
from analyzer.loaders.remote_code.importing import plain_path, user_code
from analyzer.loaders.versions.installed import installed
from analyzer.running.real_runs.real_tensors import are_real

_PLUMBING: Final = tuple(
    str(Path(transformers.__file__).parent / name) for name in ("modeling_utils.py", "initialization.py")
)
_TORCH: Final = str(Path(torch.__file__).parent) + os.sep
_SMALL: Final = 1 << 20
"""Elements; constants up to this size stay real tensors."""


@dataclass(frozen=True, slots=True)
class Built:
    """A model on the meta device, with the reason and the constructor line of each stored tensor."""

    module: nn.Module
    reasons: dict[str, Reason] = field(default_factory=dict)
    places: dict[str, Place] = field(default_factory=dict)
    saved: dict[str, Stored] = field(default_factory=dict)
    """Name in the model -> how the checkpoint stores it."""
    unused: list[str] = field(default_factory=list)
    """Names in the checkpoint that the model has no place for."""


def build(
    cls: Any, config: object, dtype: str, root: Path, stored: dict[str, Stored], note: Note = lambda *_: None
) -> Built:
    """Construct `cls(config)` as `from_pretrained(dtype=dtype)` would leave it, without its weights."""
    wanted: torch.dtype = getattr(torch, dtype)
    set_config_dtype(config, wanted)
    lines = ConstructorLines(plain_path(root))
    with user_code(root, f"building {cls.__name__}"):
        check_limits(root / "config.json", config.to_dict() if hasattr(config, "to_dict") else vars(config))
        with lines.watch():
            model: Any = construct(cls, config, wanted, note)
        kept = settle(model, wanted)
        saved, unused = match(model, stored)
        taken = _take(model, installed.assigned(model, wanted, saved))
    tensors = dict(_tensors(model))
    reasons = {name: _reason(name, t, dtype, kept, taken, saved) for name, t in tensors.items()}
    return Built(model, reasons, lines.by_name(model), saved, unused)


def settle(model: Any, dtype: torch.dtype) -> dict[str, str]:
    """Do what loading does after the constructor; full name of what stays in float32 -> which list did it."""
    kept = _keep_in_fp32(model, dtype)
    to_meta(model)
    installed.mark_trained(model)
    installed.compute(model)
    model.eval()
    _tie(model)
    return kept


def set_config_dtype(config: object, dtype: torch.dtype) -> None:
    """Write the dtype on the config and its parts, as from_pretrained does."""
    setattr(config, installed.FLOAT_ATTRIBUTE, dtype)
    for key in getattr(config, "sub_configs", None) or {}:
        part = getattr(config, key, None)
        if part is not None and not isinstance(part, dict):
            setattr(part, installed.FLOAT_ATTRIBUTE, dtype)


def _keep_in_fp32(model: nn.Module, dtype: torch.dtype) -> dict[str, str]:
    """Widen what the keep-in-fp32 lists name; full name -> which list did it."""
    lists = installed.kept_wide(model, dtype)
    if not lists:
        return {}
    kept = {}
    for name, tensor in _tensors(model, persistent=True):
        by = [which for pattern, which in lists.items() if re.search(pattern, name)]
        if by and tensor.is_floating_point() and tensor.dtype != torch.float32:
            retype(model, name, torch.float32)
            kept[name] = max(by)
    return kept


def _take(model: nn.Module, assigned: dict[str, str]) -> set[str]:
    """Give float tensors the dtype that they are loaded in; the names of those which had another."""
    tensors, taken = dict(_tensors(model, persistent=True)), set()
    for name, dtype in assigned.items():
        wanted = getattr(torch, dtype)
        if name in tensors and tensors[name].is_floating_point() and tensors[name].dtype != wanted:
            retype(model, name, wanted)
            taken.add(name)
    return taken


def retype(model: nn.Module, name: str, dtype: torch.dtype) -> None:
    """Change the dtype of one stored tensor in place, so that tied names stay tied."""
    path, _, leaf = name.rpartition(".")
    owner = model.get_submodule(path)
    parameter = owner._parameters.get(leaf)
    if parameter is not None:
        parameter.data = parameter.data.to(dtype)
    else:
        buffer = owner._buffers[leaf]
        owner._buffers[leaf] = buffer.to(dtype) if buffer is not None else None


def to_meta(model: nn.Module) -> None:
    """Parameters made from numpy are real tensors; all of them, and large buffers, go to meta; none if all are real."""
    if are_real():
        return
    moved: dict[int, nn.Parameter] = {}
    for module in model.modules():
        for name, parameter in module._parameters.items():
            if parameter is not None and not parameter.is_meta:
                if id(parameter) not in moved:
                    moved[id(parameter)] = nn.Parameter(parameter.detach().to("meta"), parameter.requires_grad)
                module._parameters[name] = moved[id(parameter)]
        for name, buffer in module._buffers.items():
            if buffer is not None and not buffer.is_meta and buffer.numel() > _SMALL:
                module._buffers[name] = buffer.to("meta")


def _tie(model: Any) -> None:
    if hasattr(model, "tie_weights"):
        model.tie_weights()


def _tensors(model: nn.Module, *, persistent: bool = False) -> Iterator[tuple[str, torch.Tensor]]:
    """Every full name, tied ones as well, with its tensor; optionally only what a state dict holds."""
    yield from model.named_parameters(remove_duplicate=False)
    unsaved = set(hidden(model)) if persistent else set()
    for name, buffer in model.named_buffers(remove_duplicate=False):
        if name not in unsaved:
            yield name, buffer


def _reason(
    name: str, tensor: torch.Tensor, dtype: str, kept: dict[str, str], taken: set[str], stored: dict[str, Stored]
) -> Reason:
    call, built = f"from_pretrained(dtype={dtype})", str(tensor.dtype).removeprefix("torch.")
    if name in taken:
        why = Reason(f"taken as {built} from the checkpoint by this version of transformers", "checkpoint")
    elif name in kept:
        why = kept_in_fp32(kept[name])
    elif not isinstance(tensor, nn.Parameter):
        why = Reason(f"buffer made in {built} by the constructor", "built_by_constructor")
    elif built == dtype:
        why = Reason(f"default dtype of {call}", "default_dtype")
    else:
        text = f"built in {built} by its constructor; {call} copies into it and keeps {built}"
        why = Reason(text, "built_by_constructor")
    found = stored.get(name)
    return why.stored_as(found.dtype, found.shard) if found else why


class ConstructorLines:
    """Notes, while constructors run, which source line registered each parameter and buffer."""

    def __init__(self, root: str) -> None:
        self._show = SourceLines(nn.Module(), root).show
        self._seen: dict[tuple[int, str], tuple[str, int]] = {}

    @contextlib.contextmanager
    def watch(self) -> Iterator[None]:
        """Listen to every registration of a parameter or a buffer."""
        handles = [
            hooks.register_module_parameter_registration_hook(self._note),
            hooks.register_module_buffer_registration_hook(self._note),
        ]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def by_name(self, model: nn.Module) -> dict[str, Place]:
        """Full tensor name -> the line that made it."""
        places = {}
        for path, module in model.named_modules(remove_duplicate=False):
            for leaf in (*module._parameters, *module._buffers):
                if (seen := self._seen.get((id(module), leaf))) is not None:
                    places[f"{path}.{leaf}" if path else leaf] = Place(self._show(seen[0]), seen[1])
        return places

    def _note(self, module: nn.Module, name: str, _: object) -> None:
        frame = sys._getframe(1)
        while frame is not None:
            file = frame.f_code.co_filename
            if not file.startswith((_TORCH, "<")) and file not in _PLUMBING and file != __file__:
                self._seen[id(module), name] = (file, frame.f_lineno)
                return
            frame = frame.f_back  # type: ignore[assignment]
