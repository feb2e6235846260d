"""How attributes are lent to classes of a library for a while, for the model's own code alone where that matters."""

from __future__ import annotations

import os
import sys
import types
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from analyzer.capture.emulation.cuda import OWN, Asks
from analyzer.capture.patching import patched
from analyzer.ir.findings import Note

_PASSED_ON: Final = (
    "torch/nn/modules/module.py", "torch/utils/_contextlib.py", "transformers/utils/deprecation.py",
    "transformers/utils/generic.py", "transformers/modeling_layers.py", "transformers/utils/output_capturing.py",
    "huggingface_hub/dataclasses.py", "/functools.py",
)  # fmt: skip
"""Files through which a call of the model's code reaches a library's class."""
_OURS: Final = str(Path(__file__).parents[3]) + os.sep
"""Our own files do so as well, where calls are watched."""


@dataclass(frozen=True, slots=True)
class Lender:
    """Who lends: takes everything back with `stack`, says each thing by `note`, knows whose a frame is."""

    stack: ExitStack
    note: Note
    asks: Asks
    release: tuple[int, ...] = ()
    """The release of transformers that the model's config names, () if it names none."""

    def lend(self, owner: object, name: str, value: object) -> None:
        """Give a class an attribute that it lacks."""
        if not hasattr(owner, name):
            self.put(owner, name, value)

    def put(self, owner: object, name: str, value: object) -> None:
        """Give a class an attribute in place of what it has."""
        self.stack.enter_context(
            patched(
                owner, name, value, what="attributes and methods of transformers' configs, models, layers and caches",
                why="Code written for transformers 4 uses them as they were.", versions="transformers 5",
            )
        )  # fmt: skip

    def owns(self, cls: type) -> bool:
        """Whether a class is of the model's own code."""
        module = sys.modules.get(cls.__module__)
        file = str(getattr(module, "__file__", "") or "")
        return bool(file) and self.asks(_Frame(types.SimpleNamespace(co_filename=file, co_name=""))) == OWN

    def is_asked(self) -> bool:
        """Whether the model's own code calls the function that asks this, through torch and decorators at most."""
        return (frame := caller(2)) is not None and self.asks(frame) == OWN

    def is_read(self, cls: type) -> bool:
        """Whether a model of the library reads an object of the model's own class `cls`, as the function's caller."""
        return _module_of_model(caller(2)) is not None and self.owns(cls)

    def reading_model(self) -> Any:
        """The module of a model of the library that reads an attribute, as the function's caller; else None."""
        return _module_of_model(caller(2))


@dataclass(frozen=True, slots=True)
class _Frame:
    f_code: Any
    f_back: None = None


def caller(depth: int) -> Any:
    """The frame that calls the function `depth` above, without what only passes a call on."""
    frame: Any = sys._getframe(depth + 1)
    while frame is not None and (
        str(frame.f_code.co_filename).replace("\\", "/").endswith(_PASSED_ON)
        or str(frame.f_code.co_filename).startswith(_OURS)
        or frame.f_code.co_name.startswith(("__getattr", "__setattr"))
    ):
        frame = frame.f_back
    return frame


def _module_of_model(frame: Any) -> Any:
    name = str(frame.f_globals.get("__name__", "")) if frame is not None else ""
    return sys.modules.get(name) if name.startswith("transformers.models.") else None


def settable(now: property, name: str, lender: Lender) -> property:
    """A property of the library that own code may set for itself: it uses the name for something else."""

    def get(self: Any) -> Any:
        return vars(self)[name] if name in vars(self) else now.__get__(self, type(self))

    def put(self: Any, value: Any) -> None:
        if lender.is_asked():
            lender.note(f"{type(self).__name__}.{name}, which the installed transformers keeps for itself", "its own")
            vars(self)[name] = value
        else:
            now.__set__(self, value)

    return property(get, put)


class Attribute:
    """An attribute that instances without one of their own have when the model's code asks; it may be set."""

    def __init__(self, name: str, value: Callable[[Any], Any], lender: Lender, said: str) -> None:
        self._name, self._value, self._lender, self._said = name, value, lender, said

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        if not self._lender.is_asked() and (instance is None or not self._lender.is_read(type(instance))):
            raise AttributeError(f"'{owner.__name__}' object has no attribute '{self._name}'")
        found = self._value(instance)
        shown = f"{found}" if len(f"{found}") < 60 else type(found).__name__
        self._lender.note(f"{self._said}, which the installed transformers does not set", f"{shown}, as before")
        return found
