"""Runs a model's constructor without weights, whatever it asks for: devices that are not there, values, files."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, TypeVar

import torch
from torch.overrides import TorchFunctionMode

from analyzer.capture.emulation.cuda import stay
from analyzer.capture.patching import patched
from analyzer.ir.findings import Note
from analyzer.loaders.default_dtype import default_dtype
from analyzer.loaders.versions import installed
from analyzer.running.real_runs.real_tensors import are_real

Made = TypeVar("Made")
_SMALL: Final = 1 << 16
"""Elements up to which a constructor that asks for values gets real tensors."""
_FACTORIES: Final = frozenset(
    {"arange", "empty", "eye", "full", "linspace", "logspace", "ones", "rand", "randn", "randint", "randperm",
     "scalar_tensor", "tensor", "as_tensor", "from_numpy", "tril_indices", "triu_indices", "zeros"}
)  # fmt: skip
_NO_DATA: Final = ("meta tensor", "'meta'", "on meta", "meta device", "Meta")
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
    """Tensors stay where constructors make them; `small` ones are real if that is wanted."""

    def __init__(self, small: bool) -> None:
        super().__init__()
        self._small = small

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = getattr(func, "__name__", "")
        done, args, kwargs = stay(name, args, kwargs or {})
        if done:
            return args[0]
        if self._small and name in _FACTORIES and kwargs.get("device") is None and name != "from_numpy":
            shape = func(*args, **{**kwargs, "device": "meta"})
            if shape.numel() <= _SMALL:
                return func(*args, **{**kwargs, "device": "cpu"})
            return shape
        return func(*args, **kwargs)


def construct_own(build: Callable[[], Made]) -> Made:
    """What `build()` gives, with small tensors real and large ones on the meta device, unless all are to be real."""
    if are_real():
        with torch.device("cpu"), _Here(small=False), _loading():
            return build()
    with torch.device("meta"), _Here(small=True), _loading():
        return build()


@contextlib.contextmanager
def _around(cls: type, dtype: torch.dtype, *, small: bool) -> Iterator[None]:
    with contextlib.ExitStack() as stack:
        for context in [default_dtype(dtype)] if are_real() else installed.constructing(cls, dtype):
            stack.enter_context(context)
        stack.enter_context(_Here(small))
        stack.enter_context(_loading())
        yield


def _loading() -> contextlib.AbstractContextManager[None]:
    return patched(torch, "load", _load, why="A constructor that loads a pickle must not run the code in it.")


_TORCH_LOAD: Final = torch.load


def _load(file: Any, *_: object, **__: object) -> Any:
    """`torch.load` that runs no code of a pickle, and does not read what it maps into memory before it is used."""
    mapped = isinstance(file, (str, Path))
    try:
        return _TORCH_LOAD(file, map_location="cpu", weights_only=True, mmap=mapped)
    except RuntimeError:
        return _TORCH_LOAD(file, map_location="cpu", weights_only=True)
