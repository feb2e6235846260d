"""An object that stands for a package, a class or a function that is not there: it may be named, never used."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, Final

_OURS: Final = str(Path(__file__).parents[2])
_VERSION: Final = "9999.0"
"""The version that a stand-in says: code that asks for at least some version goes on."""


class StandInUsed(Exception):
    """The traced path really needs what is not there; `hint` says what to do."""

    hint = "the traced path needs it: install it, or give inputs that do without"


class Inert:
    """Any attribute is another one; a call while modules are imported, such as a decorator's, is too.

    Used in a run, or as a class whose object is made, it raises `StandInUsed` with its name and `why`.
    """

    def __init__(self, name: str, why: str) -> None:
        self.__dict__.update(__name__=name.rpartition(".")[2], __qualname__=name, __module__=name.rpartition(".")[0])
        self.__dict__.update(_name=name, _why=why)

    def __getattr__(self, name: str) -> Any:
        if name == "__version__":
            return _VERSION
        if name.startswith("__") and name.endswith("__"):
            raise AttributeError(name)
        return Inert(f"{self._name}.{name}", self._why)

    def __call__(self, *args: object, **kwargs: object) -> Any:
        """Another stand-in while modules are imported; else raise StandInUsed."""
        if _importing():
            return Inert(self._name, self._why)
        raise StandInUsed(f"{self._name} is used: {self._why}")

    def __getitem__(self, _: object) -> Inert:
        return self

    def __or__(self, _: object) -> Any:
        return Any

    __ror__ = __or__

    def __mro_entries__(self, _: object) -> tuple[type, ...]:
        def __init__(made: object, *args: object, **kwargs: object) -> None:
            raise StandInUsed(f"{self._name} is used: {self._why}")

        return (type(self.__dict__["__name__"], (), {"__init__": __init__}),)

    def __instancecheck__(self, _: object) -> bool:
        return False

    def __subclasscheck__(self, _: object) -> bool:
        return False

    def __iter__(self) -> Any:
        raise StandInUsed(f"{self._name} is used: {self._why}")

    def __bool__(self) -> bool:
        return True

    def __repr__(self) -> str:
        return f"<stand-in for {self._name}>"


def _importing() -> bool:
    """Whether a module is being imported, seen from the nearest code of ours."""
    frame = sys._getframe(2)
    while frame is not None:
        file = frame.f_code.co_filename
        if file.startswith("<frozen importlib"):
            return True
        if file.startswith(_OURS):
            return False
        frame = frame.f_back  # type: ignore[assignment]
    return False
