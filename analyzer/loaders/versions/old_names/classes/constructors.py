"""Constructors of the library's layers, with the parameters of an older release."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, Final

from torch import nn

from analyzer.loaders.stubs.inert import StandInUsed
from analyzer.loaders.versions.old_names.classes.signatures import Old
from analyzer.loaders.versions.old_names.lending import Lender

_SAME: Final = (None, False, "absolute")
"""Values of a parameter that is gone which ask for what is done without it."""


def old_style(cls: type, known: list[Old], original: Any, lender: Lender) -> Callable[..., None]:
    """The constructor of a class: own code may call it as in the releases that `known` tells of."""
    now = inspect.signature(original).parameters

    @functools.wraps(original)
    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        if not lender.is_asked():
            original(self, *args, **kwargs)
            return
        before = next((one for one in known if len(args) <= len(one.names)), known[-1])
        given = dict(zip(before.names, args, strict=False)) | kwargs
        gone = {name: value for name, value in given.items() if name not in now}
        _refuse_others(cls, gone)
        original(self, **_translated(given, now))
        for name, part in gone.items():
            if isinstance(part, nn.Module):
                self.add_module(name, part)
        if gone:
            lender.note(f"{cls.__name__} made as in an older transformers", f"{', '.join(sorted(gone))} as then")

    return __init__


def _refuse_others(cls: type, gone: dict[str, Any]) -> None:
    """Raise StandInUsed for an argument that asks for what is no longer there."""
    for name, value in gone.items():
        if not isinstance(value, nn.Module) and value not in _SAME:
            raise StandInUsed(f"{cls.__name__}({name}=): the installed transformers does not take it")


def _translated(given: dict[str, Any], now: Any) -> dict[str, Any]:
    taken = {name: value for name, value in given.items() if name in now}
    if "layer_idx" in now and now["layer_idx"].default is inspect.Parameter.empty:
        taken.setdefault("layer_idx", 0)
    return taken
