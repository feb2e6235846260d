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
        parts = {name: value for name, value in gone.items() if isinstance(value, nn.Module)}
        if others := [name for name, value in gone.items() if name not in parts and value not in _SAME]:
            raise StandInUsed(f"{cls.__name__}({others[0]}=): the installed transformers does not take it")
        taken = {name: value for name, value in given.items() if name in now}
        if "layer_idx" in now and now["layer_idx"].default is inspect.Parameter.empty:
            taken.setdefault("layer_idx", 0)
        original(self, **taken)
        for name, part in parts.items():
            setattr(self, name, part)
        if gone:
            lender.note(f"{cls.__name__} made as in an older transformers", f"{', '.join(sorted(gone))} as then")

    return __init__
