"""Lets compiled code be captured: while a capture lasts, `torch.compile` gives back what it is given."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import wraps
from typing import Any, Final

import torch
from torch.utils import _python_dispatch

from analyzer.capture.patching import patched

_COMPILE: Final = torch.compile
_INFERENCE: Final = torch._C._InferenceMode
_DYNAMO: Final = "torch._dynamo"


@contextmanager
def uncompiled() -> Iterator[None]:
    """While this lasts, nothing is compiled, and what was compiled before runs as the Python that it was made from.

    Nobody can have compiled anything before `torch._dynamo` was imported, which takes two seconds and is left out.
    """
    with ExitStack() as stack:
        hides = "A compiled function hides its calls; as Python it makes the same ones."
        stack.enter_context(patched(torch, "compile", _identity, why=hides))
        if _DYNAMO in sys.modules:
            stack.enter_context(torch.compiler.set_stance("force_eager"))
        yield


@contextmanager
def compiling() -> Iterator[None]:
    """While this lasts, inside of `uncompiled`, `torch.compile` is the real one."""
    asked = "torch is asked what it says of a higher-order operator, which it compiles."
    with (
        patched(torch, "compile", _COMPILE, why=asked),
        patched(torch._C, "_InferenceMode", _INFERENCE, why=asked),
        patched(_python_dispatch, "_is_in_non_infra_torch_dispatch_mode", False, why=asked, versions="torch < 2.13"),
        torch.compiler.set_stance("default"),
    ):
        yield


def _identity(model: Any = None, **_: object) -> Any:
    if model is None:
        return _identity
    return _asked_again(model) if getattr(model, "__name__", "") in _RECURSIVE else model


def _asked_again(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function of torch that compiles itself until it is told that it is being compiled."""

    @wraps(function)
    def told(*args: Any, **kwargs: Any) -> Any:
        alone = "Without a compiler this function would compile itself for ever."
        with patched(sys.modules[_DYNAMO], "is_compiling", lambda: True, why=alone, versions="torch < 2.7",
                     what="`torch._dynamo.is_compiling`"):  # fmt: skip
            return function(*args, **kwargs)

    return told


_RECURSIVE: Final = ("associative_scan",)
