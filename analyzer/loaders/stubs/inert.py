"""Stands for a package, class or function that is not there: it may be named and made, and where it runs it fails."""

from __future__ import annotations

import dis
import sys
import types
from pathlib import Path
from typing import Any, Final

import torch
from torch import nn

from analyzer.ir import walk

_ROOT: Final = Path(__file__).parents[2]
_STUBS: Final = str(Path(__file__).parent)
_RUNS: Final = str(_ROOT / "running")
"""What is called from here, with nothing of ours between, is called by the forward of a model."""
_MAKES: Final = (str(_ROOT / "loaders"), str(_ROOT / "inputs"), "<frozen importlib")
"""What is called from here is called while modules are imported, models are built or inputs are made."""
_COMPILERS: Final = ("numba.cuda", "cupy", "tilelang", "cutlass")
"""Packages whose decorators make a kernel of a function, which is not run as the Python that it is written in."""
_LIBRARIES: Final = frozenset(
    {"accelerate", "analyzer", "diffusers", "peft", "sentence_transformers", "torch", "transformers"}
)
"""Packages whose questions about a module are not answered with stand-ins: they would take them for an answer."""
_VERSION: Final = "9999.0"
"""The version that a stand-in says: code that asks for at least some version goes on."""


_SHOWN: Final = ("Inert", "StandInModule")
"""What other libraries call a stand-in that they cannot take."""


class StandInUsed(Exception):
    """What is not there is really needed; `hint` says what to do."""

    def __init__(self, words: str, hint: str = "") -> None:
        super().__init__(words)
        self.hint = hint


class _Valueless:
    """What nothing is known of but its name: a value, a length or parts of it cannot be had."""

    def _about(self) -> tuple[str, str, str]:
        """Its name, why it is not there, and what to do."""
        raise NotImplementedError

    def _value(self, *_: object) -> Any:
        raise used(*self._about())

    __iter__ = __len__ = __int__ = __float__ = __index__ = __contains__ = _value
    __lt__ = __le__ = __gt__ = __ge__ = __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = _value
    __truediv__ = __rtruediv__ = __floordiv__ = __rfloordiv__ = __mod__ = __rmod__ = __pow__ = __rpow__ = _value
    __neg__ = __abs__ = __matmul__ = __rmatmul__ = _value

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def __bool__(self) -> bool:
        return True


class Inert(_Valueless):
    """Any attribute is another one; called outside of a run, as constructors and decorators do, it gives a module.

    Called in a run it raises `StandInUsed` with its name and `why`; its value is never known, so that whatever needs
    that raises it everywhere. As a decorator it leaves functions and classes as they are.
    """

    def __init__(self, name: str, why: str, hint: str = "") -> None:
        self.__dict__.update(__name__=name.rpartition(".")[2], __qualname__=name, __module__=name.rpartition(".")[0])
        self.__dict__.update(_name=name, _why=why, _hint=hint)

    def __getattr__(self, name: str) -> Any:
        if name == "__version__":
            return _VERSION
        if name.startswith("__") and name.endswith("__"):
            raise AttributeError(name)
        made = Inert(f"{self._name}.{name}", self._why, self._hint)
        self.__dict__[name] = made
        return made

    def __call__(self, *args: Any, **kwargs: object) -> Any:
        """A module that stands for the result; what is decorated, as it is; in a run, raise StandInUsed.

        A call in a run whose result nobody takes, and that is given no tensor, as a logger's, is let through.
        """
        if _in_a_run():
            if _is_dropped(sys._getframe(1)) and not list(walk.leaves((args, kwargs), torch.Tensor)):
                return None
            raise _called(self._name, self._why, self._hint)
        if len(args) == 1 and not kwargs and _is_decorated(args[0]) and not self._name.startswith(_COMPILERS):
            return args[0]
        return StandInModule(self._name, self._why, self._hint)

    def __getitem__(self, _: object) -> Inert:
        return self

    def __setitem__(self, _: object, __: object) -> None:
        pass

    def __or__(self, _: object) -> Any:
        return Any

    __ror__ = __or__

    def __mro_entries__(self, bases: tuple[object, ...]) -> tuple[type, ...]:
        """A class of modules; beside another class, which says what the objects are, a plain one."""
        name = self.__dict__["__name__"]
        if any(isinstance(base, type) and base is not object for base in bases):
            return (type(name, (), {}),)
        return (type(name, (StandInModule,), {"_stands_for": (self._name, self._why, self._hint)}),)

    def __instancecheck__(self, _: object) -> bool:
        return False

    def __subclasscheck__(self, _: object) -> bool:
        return False

    def __repr__(self) -> str:
        return f"<stand-in for {self._name}>"

    def _about(self) -> tuple[str, str, str]:
        return self._name, self._why, self._hint


class StandInModule(_Valueless, nn.Module):
    """What a constructor makes of a stand-in: a module without parameters, which may lie in a Sequential.

    Its public attributes are stand-ins too, for the model's own code. Run as a module it raises `StandInUsed`.
    """

    _stands_for: tuple[str, str, str] = ("", "", "")

    def __new__(cls, *_: object, **__: object) -> StandInModule:
        """A module that is one before its own constructor is called, and where that calls no other."""
        made = super().__new__(cls)
        nn.Module.__init__(made)
        return made

    def __init__(self, *args: Any, **kwargs: object) -> None:
        if type(self) is StandInModule:
            self.__dict__["_stands_for"] = args
        elif _in_a_run():
            raise _called(*self._stands_for)

    def forward(self, *_: object, **__: object) -> Any:
        """Raise StandInUsed."""
        raise _called(*self._stands_for)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """As a module in a run; while a model is built or imported, the object that a stand-in would make."""
        if type(self) is not StandInModule or _in_a_run():
            return super().__call__(*args, **kwargs)
        return Inert(*self._stands_for)(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            if name.startswith("_") or str(sys._getframe(1).f_globals.get("__name__")).split(".")[0] in _LIBRARIES:
                raise
        full, why, hint = self._stands_for
        return Inert(f"{full}.{name}", why, hint)

    def __getitem__(self, _: object) -> Any:
        return Inert(*self._stands_for)

    def _about(self) -> tuple[str, str, str]:
        return self._stands_for

    def extra_repr(self) -> str:
        """What it stands for."""
        return f"stand-in for {self._stands_for[0]}"


def used(name: str, why: str, hint: str) -> StandInUsed:
    """The error of a stand-in whose value is needed."""
    return _used(f"the value of {name} is needed, which is a stand-in", why, hint)


def given_to(error: BaseException) -> StandInUsed | None:
    """What an error means that torch or Python raises over a stand-in which it was given; None of another error."""
    if not isinstance(error, (TypeError, ValueError)) or not any(name in str(error) for name in _SHOWN):
        return None
    trace, found = error.__traceback__, None
    while trace is not None:
        held = [value for value in trace.tb_frame.f_locals.values() if isinstance(value, _Valueless)]
        found, trace = (held[-1] if held else found), trace.tb_next
    return used(*found._about()) if found is not None else None


def _called(name: str, why: str, hint: str) -> StandInUsed:
    return _used(f"forward calls {name}, which is a stand-in", why, hint)


def _used(words: str, why: str, hint: str) -> StandInUsed:
    return StandInUsed(f"{words}: {why}", hint or "install it, or give inputs that do without")


def _is_decorated(value: object) -> bool:
    """Whether a value is a function or class in source, as decorators get them."""
    return isinstance(value, (types.FunctionType, type, classmethod, staticmethod, property))


def _is_dropped(frame: types.FrameType) -> bool:
    """Whether the call that a frame is at is a statement of its own."""
    following = (one for one in dis.get_instructions(frame.f_code) if one.offset > frame.f_lasti)
    return next((one.opname == "POP_TOP" for one in following), False)


def _in_a_run() -> bool:
    """Whether the forward of a model is running, seen from the nearest code that tells."""
    frame: types.FrameType | None = sys._getframe(2)
    while frame is not None:
        file = frame.f_code.co_filename
        if file.startswith(_RUNS):
            return True
        if file.startswith(_MAKES) and not file.startswith(_STUBS):
            return False
        frame = frame.f_back
    return False
