"""Leaves the process as it was found: what a model's code sets for everybody lasts as long as its trace."""

from __future__ import annotations

import contextlib
import logging
import os
import random
import sys
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Final, NamedTuple

import torch
from torch.overrides import _pop_mode as pop_function_mode
from torch.utils._python_dispatch import _pop_mode as pop_dispatch_mode

from analyzer.capture.autocast.torch_autocast_state import kept_state
from analyzer.ir.graph import NOWHERE, Left, Place


class _Setting(NamedTuple):
    """Something of torch that decides dtypes, gradients or precision for the whole process."""

    name: str
    read: Callable[[], object]


_STARTS: Final[list[dict[str, str]]] = []
"""The settings at the beginning of each `left_as_found` that lasts."""


def settings() -> dict[str, str]:
    """What is set for the whole process now, in words."""
    return {one.name: str(one.read()).removeprefix("torch.") for one in _SETTINGS}


def left_by_loading() -> list[Left]:
    """What is set otherwise now than it was before the model was imported and built."""
    return changes(_STARTS[-1], by_loading=True) if _STARTS else []


def changes(before: dict[str, str], *, by_loading: bool = False, place: Place = NOWHERE) -> list[Left]:
    """What is set otherwise now than it was; `place` is where the default dtype was set last."""
    now = settings()
    return [
        Left(name, value, now[name], place if name == _DEFAULT_DTYPE else NOWHERE, by_loading)
        for name, value in before.items()
        if now[name] != value
    ]


class _Fact(NamedTuple):
    """Something that the whole process has, and that code can change."""

    read: Callable[[], Any]
    write: Callable[[Any], Any]


@contextlib.contextmanager
def left_as_found() -> Iterator[None]:
    """Whatever code does to the process while this lasts: put back what was there, also after an error.

    That is torch's defaults, modes and random state, Python's paths, warnings and log levels, and the environment.
    """
    before = [(fact, fact.read()) for fact in _FACTS]
    modes = torch._C._len_torch_function_stack(), torch._C._len_torch_dispatch_stack()
    device = _default_device()
    _STARTS.append(settings())
    try:
        with kept_state(), warnings.catch_warnings():
            yield
    finally:
        _STARTS.pop()
        if _default_device() != device:
            torch.set_default_device(device)
        while torch._C._len_torch_function_stack() > modes[0]:
            pop_function_mode()  # type: ignore[no-untyped-call]
        while torch._C._len_torch_dispatch_stack() > modes[1]:
            pop_dispatch_mode()
        for fact, value in before:
            if not _same(fact.read(), value):
                fact.write(value)


def _same(one: Any, other: Any) -> bool:
    return torch.equal(one, other) if isinstance(one, torch.Tensor) else bool(one == other)


def _default_device() -> Any:
    """The device of `torch.set_default_device`; None where nobody has called it."""
    context = getattr(torch._GLOBAL_DEVICE_CONTEXT, "device_context", None)
    return context.device if context is not None else None


def _folder() -> str:
    try:
        return os.getcwd()  # noqa: PTH109 (chdir takes it back as it is)
    except OSError:
        return ""


def _go(folder: str) -> None:
    with contextlib.suppress(OSError):
        os.chdir(folder)


def _numpy() -> Any:
    return sys.modules.get("numpy.random")


def _numpy_state() -> tuple[Any, ...]:
    state = _numpy().get_state() if _numpy() is not None else ()
    if not isinstance(state, tuple) or not state:  # a generator of another kind
        return ()
    kind, keys, *rest = state
    return (kind, keys.tobytes(), *rest)


def _seed_numpy(state: tuple[Any, ...]) -> None:
    if state:
        import numpy as np

        kind, keys, *rest = state
        _numpy().set_state((kind, np.frombuffer(keys, dtype=np.uint32), *rest))


def _precision() -> str:
    """That of float32 matmuls; "" where it was set for single backends, and torch refuses to give one for all."""
    try:
        return torch.get_float32_matmul_precision()
    except RuntimeError:
        return ""


def _set_precision(precision: str) -> None:
    if precision:
        torch.set_float32_matmul_precision(precision)


def _levels() -> dict[str, int]:
    """The level of each logger: the verbosity of transformers, diffusers and their kind is one."""
    named = {
        name: one.level for name, one in logging.root.manager.loggerDict.items() if isinstance(one, logging.Logger)
    }
    return {"": logging.root.level, **named}


def _set_levels(levels: dict[str, int]) -> None:
    for name, level in levels.items():
        logger = logging.getLogger(name)
        if logger.level != level:
            logger.setLevel(level)


def _set_environ(values: dict[str, str]) -> None:
    for name in set(os.environ) - set(values):
        del os.environ[name]
    os.environ.update(values)


def _set_path(path: list[str]) -> None:
    sys.path[:] = path


_DEFAULT_DTYPE: Final = "default dtype"
_MATMUL: Final = torch.backends.cuda.matmul
_REDUCTIONS: Final = ("allow_fp16_reduced_precision_reduction", "allow_bf16_reduced_precision_reduction")
_SETTINGS: Final = (
    _Setting(_DEFAULT_DTYPE, torch.get_default_dtype),
    _Setting("gradients", torch.is_grad_enabled),
    _Setting("autocast", lambda: torch.is_autocast_enabled("cpu") or torch.is_autocast_enabled("cuda")),
    _Setting("autocast's cache", torch.is_autocast_cache_enabled),
    _Setting("float32 matmul precision", _precision),
    _Setting("fp16 reduced precision reduction", partial(getattr, _MATMUL, _REDUCTIONS[0])),
    _Setting("bf16 reduced precision reduction", partial(getattr, _MATMUL, _REDUCTIONS[1])),
)
_FACTS: Final = (
    _Fact(torch.get_default_dtype, torch.set_default_dtype),
    _Fact(torch.is_grad_enabled, torch.set_grad_enabled),
    _Fact(torch.get_rng_state, torch.set_rng_state),
    _Fact(torch.get_num_threads, torch.set_num_threads),
    _Fact(_precision, _set_precision),
    *[_Fact(partial(getattr, _MATMUL, name), partial(setattr, _MATMUL, name)) for name in _REDUCTIONS],
    _Fact(torch.get_deterministic_debug_mode, torch.set_deterministic_debug_mode),
    _Fact(torch.is_anomaly_enabled, torch.autograd.set_detect_anomaly),
    _Fact(random.getstate, random.setstate),
    _Fact(_numpy_state, _seed_numpy),
    _Fact(_folder, _go),
    _Fact(lambda: dict(os.environ), _set_environ),
    _Fact(lambda: list(sys.path), _set_path),
    _Fact(sys.getrecursionlimit, sys.setrecursionlimit),
    _Fact(_levels, _set_levels),
    _Fact(lambda: logging.root.manager.disable, logging.disable),
)
