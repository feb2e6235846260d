"""Runs a model's constructor without weights, whatever it asks for: devices that are not there, values, files."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any, Final, TypeVar

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from analyzer.capture.emulation.cuda import stay
from analyzer.capture.emulation.large_tensors import LargeTensors
from analyzer.capture.emulation.weight_files import unread
from analyzer.ir.findings import Note
from analyzer.loaders.default_dtype import default_dtype
from analyzer.loaders.versions.installed import installed
from analyzer.running.real_runs.real_tensors import are_real

Made = TypeVar("Made")
_SMALL: Final = 1 << 16
"""Elements up to which a constructor that asks for values gets real tensors."""
_FACTORIES: Final = frozenset(
    {"arange", "empty", "eye", "full", "linspace", "logspace", "ones", "rand", "randn", "randint", "randperm",
     "scalar_tensor", "tensor", "as_tensor", "from_numpy", "tril_indices", "triu_indices", "zeros"}
)  # fmt: skip
_NO_DATA: Final = ("meta tensor", "'meta'", "on meta", "device meta", "meta device", "Meta")
"""What torch says when a tensor without data is asked for it."""


def construct(cls: Any, config: Any, dtype: torch.dtype, note: Note, *args: object, **keywords: object) -> object:
    """`cls(config, ...)`, as `from_pretrained(dtype=dtype)` calls it, on the meta device.

    A constructor that asks a tensor for its values is called again with small tensors real; the note says so.
    """
    try:
        with _around(cls, dtype, small=False):
            return cls(config, *args, **keywords)
    except (RuntimeError, NotImplementedError, TypeError) as error:
        said = str(error)
        if not any(words in said for words in _NO_DATA):
            raise
        with _around(cls, dtype, small=True):
            made = cls(config, *args, **keywords)
    words = said.splitlines()[0]
    note(f"the constructor of {cls.__name__} reads values, where from_pretrained may stop ({words})", "small ones real")
    return made


class _Here(TorchFunctionMode):
    """Tensors stay where constructors make them, and take no memory if they are large.

    `small` ones are real if that is wanted; then what is on the meta device also lets itself be moved to the CPU.
    """

    def __init__(self, small: bool) -> None:
        super().__init__()
        self._small = small
        self._large = None if are_real() else LargeTensors(torch.get_default_device().type)

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name, kwargs = getattr(func, "__name__", ""), kwargs or {}
        if func is _AS_LINEAR and _fills_nothing(**kwargs):
            return kwargs["tensor"]
        done, args, kwargs = stay(name, args, kwargs)
        if not done and self._small:
            done, args, kwargs = _stay_without_data(name, args, kwargs)
        if done:
            return args[0]
        if self._small and name in _FACTORIES and kwargs.get("device") is None and name != "from_numpy":
            shape = func(*args, **{**kwargs, "device": "meta"})
            if shape.numel() <= _SMALL:
                return func(*args, **{**kwargs, "device": "cpu"})
            return shape
        return self._large.run(func, name, args, kwargs) if self._large else func(*args, **kwargs)


_AS_LINEAR: Final = nn.init.kaiming_uniform_
"""What `nn.Linear` fills its weight with: a quarter of the time that a model of many experts takes to be built."""


def _fills_nothing(tensor: torch.Tensor, mode: str, nonlinearity: str, **_: object) -> bool:
    """Whether a weight has no values to be filled, and is filled as `nn.Linear` asks for it, which never raises."""
    return tensor.is_meta and tensor.dim() > 1 and mode == "fan_in" and nonlinearity == "leaky_relu"


def _stay_without_data(name: str, args: Any, kwargs: dict[str, Any]) -> tuple[bool, Any, dict[str, Any]]:
    """As `stay`, for a tensor on the meta device that is moved to the CPU: it has no data to be moved."""
    if not args or not isinstance(args[0], torch.Tensor) or not args[0].is_meta:
        return False, args, kwargs
    if name == "cpu":
        return True, args, kwargs
    if name != "to":
        return False, args, kwargs
    try:
        device, dtype, *_ = torch._C._nn._parse_to(*args[1:], **kwargs)
    except (TypeError, RuntimeError):  # `x.to(other)`
        return False, args, kwargs
    if device is None or device.type != "cpu":
        return False, args, kwargs
    return dtype is None, (args[0], dtype), {}


def construct_own(build: Callable[[], Made]) -> Made:
    """What `build()` gives, with small tensors real and large ones on the meta device, unless all are to be real."""
    if are_real():
        with torch.device("cpu"), _Here(small=False), unread(whole=True):
            return build()
    with torch.device("meta"), _Here(small=True), unread():
        return build()


@contextlib.contextmanager
def _around(cls: type, dtype: torch.dtype, *, small: bool) -> Iterator[None]:
    with contextlib.ExitStack() as stack:
        for context in [default_dtype(dtype)] if are_real() else installed.constructing(cls, dtype):
            stack.enter_context(context)
        stack.enter_context(_Here(small))
        stack.enter_context(unread(whole=are_real()))
        yield
