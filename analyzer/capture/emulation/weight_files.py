"""Answers a model's code that loads weights by itself: names, shapes and dtypes, of which nothing large is read."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final

import torch

from analyzer.capture.patching import patched
from analyzer.capture.tensor import LARGE
from analyzer.ir import walk

_TORCH_LOAD: Final = torch.load


@contextmanager
def unread(*, whole: bool = False) -> Iterator[None]:
    """While this lasts, `torch.load` and `numpy.load` read no large tensor, unless `whole`, and no code of a pickle."""
    numpy_format, read_array = _numpy()
    load = partial(_load, keeps=_itself if whole else _small_or_none)
    with ExitStack() as stack:
        why = "Code that loads a pickle must not run the code in it, nor read its weights."
        stack.enter_context(patched(torch, "load", load, why=why))
        if numpy_format is not None and not whole:
            why = "An array that is loaded has its shape and dtype alone where it is large."
            arrays = _arrays(numpy_format, read_array)
            what = "what `numpy.load` reads an array with"
            stack.enter_context(patched(numpy_format, "read_array", arrays, why=why, what=what))
        yield


def _load(file: Any, *_: object, keeps: Callable[[torch.Tensor], torch.Tensor], **__: object) -> Any:
    """`torch.load` of tensors alone; a file is mapped, so that what is not used is not read, and what is large is none.

    Raises UnpicklingError for a file that holds more than tensors.
    """
    path = _path_of(file)
    try:
        return walk.changed(_loaded(path, file), torch.Tensor, keeps, mappings=True)
    except pickle.UnpicklingError as error:
        name = path.name if path is not None else "what it was given"
        raise pickle.UnpicklingError(f"torch.load: {name} holds more than tensors, and a pickle runs code") from error


def _loaded(path: Path | None, file: Any) -> Any:
    if path is None:
        return _TORCH_LOAD(file, map_location="cpu", weights_only=True)
    try:
        return _TORCH_LOAD(path, map_location="cpu", weights_only=True, mmap=True)
    except (RuntimeError, ValueError):  # of an old format, or too large to be mapped
        if path.stat().st_size <= LARGE:
            return _TORCH_LOAD(path, map_location="cpu", weights_only=True)
        from torch._subclasses.fake_tensor import FakeTensorMode  # its import takes long

        with FakeTensorMode():
            found = _TORCH_LOAD(path, map_location="cpu", weights_only=True)
        return walk.changed(found, torch.Tensor, _without_values, mappings=True)


def _path_of(file: Any) -> Path | None:
    """The file's name on disk; None for what is read from memory, or from the middle of a file."""
    name = file if isinstance(file, (str, os.PathLike)) else getattr(file, "name", None)
    if not isinstance(name, (str, os.PathLike)):
        return None
    if name is not file and (not hasattr(file, "tell") or file.tell()):
        return None
    return Path(name)


def _itself(tensor: torch.Tensor) -> torch.Tensor:
    return tensor


def _small_or_none(tensor: torch.Tensor) -> torch.Tensor:
    """A tensor itself, or one without values where it is large."""
    if tensor.is_meta or tensor.layout != torch.strided or tensor.numel() * tensor.itemsize <= LARGE:
        return tensor
    return _without_values(tensor)


def _without_values(tensor: torch.Tensor) -> torch.Tensor:
    made: torch.Tensor = torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device="meta")
    return torch.nn.Parameter(made, tensor.requires_grad) if isinstance(tensor, torch.nn.Parameter) else made


def _numpy() -> tuple[Any, Any]:
    """The module of numpy's that reads arrays, under whatever name this release has it, and its function."""
    try:
        from numpy.lib.npyio import NpzFile
    except ImportError:
        return None, None
    module = NpzFile.__getitem__.__globals__.get("format")
    return module, getattr(module, "read_array", None)


def _arrays(numpy_format: Any, original: Any) -> Any:
    """`read_array` that gives one number, seen at every place, for a large array of numbers."""

    def read_array(fp: Any, *args: Any, **kwargs: Any) -> Any:
        import numpy

        at = fp.tell()
        version = numpy_format.read_magic(fp)
        header = {(1, 0): numpy_format.read_array_header_1_0}.get(version, numpy_format.read_array_header_2_0)
        shape, _, dtype = header(fp)
        size = int(numpy.prod(shape, dtype=object)) * dtype.itemsize
        if size > LARGE and not dtype.hasobject:
            return numpy.broadcast_to(numpy.zeros((), dtype), shape)
        fp.seek(at)
        return original(fp, *args, **kwargs)

    return read_array
