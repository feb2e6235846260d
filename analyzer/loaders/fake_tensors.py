"""Lends a model without weights fake tensors, for code that asks tensors which device they are on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from math import prod
from typing import Any, Final

import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.utils._pytree import tree_leaves

from analyzer.capture.patching import patched

_CONSTANT: Final = frozenset(("arange", "eye", "full", "linspace", "ones", "randint", "randperm", "tril_indices",
                              "triu_indices", "zeros"))  # fmt: skip
"""What makes a tensor whose values no weight decides; `empty` does where it makes integers, as something fills them."""
_LARGE: Final = 1 << 27
"""Elements beyond which even such a tensor is fake."""


@contextmanager
def faked(model: nn.Module) -> Iterator[None]:
    """Tensors on meta say that they are on the CPU; those that nothing changes are themselves again afterwards."""
    mode = _KnownValues(allow_non_fake_inputs=True)
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


class _KnownValues(FakeTensorMode):  # type: ignore[no-untyped-call]
    """Makes tensors fake but for those that no weight decides: indices, masks and permutations that code computes.

    BOFT asks a permutation for its numbers, SHiRA a mask for its places, FourierFT and WaveFT keep indices for forward.
    """

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if _known(func, args, kwargs or {}):
            return func(*args, **(kwargs or {}))
        return super().__torch_dispatch__(func, types, args, kwargs)


def _known(func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> bool:
    """Whether a call has values to work with, or makes them."""
    tensors = [one for one in tree_leaves((args, kwargs)) if isinstance(one, torch.Tensor)]
    if any(isinstance(one, FakeTensor) or one.is_meta for one in tensors):
        return False
    device = kwargs.get("device")
    if device is not None and torch.device(device).type != "cpu":
        return False
    name = func.overloadpacket.__name__
    if tensors:
        return True
    dtype = kwargs.get("dtype") or torch.get_default_dtype()
    counts = name in _CONSTANT or (name == "empty" and not (dtype.is_floating_point or dtype.is_complex))
    return counts and _elements(args) <= _LARGE


def _elements(args: tuple[Any, ...]) -> int:
    """How many elements a factory makes, at most, by its first argument: a shape or a number."""
    first = args[0] if args else 0
    return prod(first) if isinstance(first, (list, tuple)) else int(first)


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
