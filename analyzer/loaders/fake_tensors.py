"""Lends a model without weights fake tensors, for code that asks tensors which device they are on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode

from analyzer.capture.patching import patched


@contextmanager
def faked(model: nn.Module) -> Iterator[None]:
    """Tensors on meta say that they are on the CPU; those that nothing changes are themselves again afterwards."""
    mode = FakeTensorMode(allow_non_fake_inputs=True)
    fakes: dict[int, Any] = {}
    originals: dict[int, Any] = {}
    for module, leaf, _ in leaves(model):
        holder = module._parameters if leaf in module._parameters else module._buffers
        tensor = holder[leaf]
        if tensor is None or not tensor.is_meta:
            continue
        if id(tensor) not in fakes:
            with mode:
                fake = torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype)
                fakes[id(tensor)] = nn.Parameter(fake, tensor.requires_grad) if leaf in module._parameters else fake
            originals[id(fakes[id(tensor)])] = tensor
        holder[leaf] = fakes[id(tensor)]
    why = "`nn.Module.to` swaps fake tensors, which refuse while something refers to them weakly."
    with mode, patched(nn.Module, "_apply", _apply, why=why):
        yield
    # peft has put the model into another: its modules are still the same objects
    for part in model.modules():
        for held in (part._parameters, part._buffers):
            for leaf, tensor in held.items():
                original = originals.get(id(tensor))
                if (
                    tensor is not None
                    and original is not None
                    and (original.dtype, original.shape) == (tensor.dtype, tensor.shape)
                ):
                    held[leaf] = original.requires_grad_(tensor.requires_grad)


def bare(model: nn.Module) -> None:
    """What peft has made goes to meta; a tensor that stands in two places stays one."""
    made: dict[int, Any] = {}
    for module, leaf, _ in leaves(model):
        holder: dict[str, Any] = module._parameters if leaf in module._parameters else module._buffers
        tensor = holder[leaf]
        if isinstance(tensor, FakeTensor) or (isinstance(tensor, nn.Parameter) and not tensor.is_meta):
            if id(tensor) not in made:
                bare = torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device="meta")
                is_parameter = leaf in module._parameters
                made[id(tensor)] = nn.Parameter(bare, tensor.requires_grad) if is_parameter else bare
            holder[leaf] = made[id(tensor)]


def leaves(model: nn.Module) -> Iterator[tuple[nn.Module, str, str]]:
    """Each stored tensor: its module, its name there, and its full name, tied ones under each."""
    for path, module in model.named_modules(remove_duplicate=False):
        for leaf in (*module._parameters, *module._buffers):
            if getattr(module, leaf, None) is not None:
                yield module, leaf, f"{path}.{leaf}" if path else leaf


def _apply(self: nn.Module, fn: Callable[[torch.Tensor], torch.Tensor], recurse: bool = True) -> nn.Module:
    """`nn.Module._apply` as it does real tensors: it would swap fake ones, which refuse, being referred to weakly."""
    for child in self.children() if recurse else ():
        child._apply(fn)  # type: ignore[no-untyped-call]
    for parameter in self._parameters.values():
        if parameter is not None:
            with torch.no_grad():
                parameter.data = fn(parameter)
    for leaf, buffer in self._buffers.items():
        if buffer is not None:
            self._buffers[leaf] = fn(buffer)
    return self
