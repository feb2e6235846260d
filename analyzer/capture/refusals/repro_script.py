"""Writes a refused call again in plain torch, as the shortest script that is seen to raise the same words."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Iterable
from dataclasses import dataclass, field
from math import isfinite, prod
from typing import Any, Final

import torch
from torch.overrides import resolve_name

from analyzer import oracle
from analyzer.capture.tensor import Abstract, dtype_name
from analyzer.capture.wrapper_subclasses import has_values, wraps
from analyzer.ir.graph import Script
from analyzer.oracle.operands import KEPT_SIZE

Call = tuple[Any, tuple[Any, ...], dict[str, Any]]
"""A function, and the arguments that it was given."""

LARGEST: Final = 1 << 26
"""Elements in all operands up to which a script is tried."""
SPELLED: Final = 64
"""Elements up to which the known values of an integer operand are written out."""

_NAMED: Final = (torch.dtype, torch.memory_format, torch.layout, type(None), bool, int, str, type(Ellipsis))
"""Arguments whose `repr` is their Python source."""
_TRIED: dict[tuple[str, ...], str] = {}


class _UnwritableError(Exception):
    """An argument has no Python source."""


@dataclass(frozen=True, slots=True)
class _Way:
    """How the operands are made: sizes over the oracle's limit small, integers with the values they had."""

    small: bool
    values: bool


_WAYS: Final = (_Way(small=True, values=False), _Way(small=False, values=False), _Way(small=False, values=True))


def write(words: str, calls: Iterable[Call]) -> Script:
    """The first script that raises `words` on this CPU: of the first call if it can, in small shapes if they do.

    If none does (the words may be those of another device), the first call in its own shapes, with the doubt.
    """
    kept: Script | None = None
    reason = "the call was not recorded"
    for call in calls:
        for way in _WAYS:
            try:
                lines = _Writer(way).lines(call)
            except _UnwritableError as error:
                reason = str(error)
                break
            said = _raised(lines)
            if said == words:
                return Script(lines)
            if kept is None and not way.small:
                kept = Script(lines, f"run alone on this CPU, the call {f'raises: {said}' if said else 'is taken'}")
    return kept or Script((), reason)


@dataclass(slots=True)
class _Writer:
    """One script being written; a tensor that is passed twice is made once."""

    way: _Way
    made: dict[int, str] = field(default_factory=dict)
    held: list[Any] = field(default_factory=list)
    """Keeps the tensors alive while their ids are names."""
    sizes: dict[int, int] = field(default_factory=dict)
    lines_: list[str] = field(default_factory=list)
    elements: int = 0

    def lines(self, call: Call) -> tuple[str, ...]:
        function, args, kwargs = call
        told = {key: value for key, value in kwargs.items() if not _is_default(function, key, value)}
        parts = [*map(self.source, args), *(f"{key}={self.source(value)}" for key, value in told.items())]
        return (*self.lines_, f"{_name(function)}({', '.join(parts)})")

    def source(self, arg: Any) -> str:
        if isinstance(arg, torch.Tensor):
            return self.tensor(arg)
        kind = type(arg)
        if isinstance(arg, (tuple, list, torch.Size)):
            inside = ", ".join(map(self.source, arg))
            return f"[{inside}]" if kind is list else f"({inside},)" if len(arg) == 1 else f"({inside})"
        if kind is int and self.way.small:
            return repr(self.sizes.get(arg, arg))
        if kind is float:
            return repr(arg) if isfinite(arg) else f"float('{arg}')"
        if kind is slice:
            return f"slice({', '.join(map(self.source, (arg.start, arg.stop, arg.step)))})"
        if kind is torch.device:
            return f"torch.device('{arg}')"
        if kind in _NAMED:
            return repr(arg)
        raise _UnwritableError(f"the call takes a {kind.__name__}, which has no source")

    def tensor(self, tensor: torch.Tensor) -> str:
        name = self.made.get(id(tensor))
        if name is None:
            name = self.made[id(tensor)] = f"x{len(self.made)}"
            self.held.append(tensor)
            self.lines_.append(f"{name} = {self.maker(tensor)}")
        return name

    def maker(self, tensor: torch.Tensor) -> str:
        if not has_values(tensor):
            kind = type(tensor).__name__ if wraps(type(tensor)) else "batched tensor of torch.func"
            raise _UnwritableError(f"a {kind} is among its operands")
        shape = [self.size(n) for n in tensor.shape]
        self.elements += prod(shape)
        if self.elements > LARGEST:
            raise _UnwritableError(f"its operands have more than {LARGEST:,} elements")
        dtype = tensor.dtype
        value = tensor.known if isinstance(tensor, Abstract) else tensor
        if self.way.values and not dtype.is_floating_point and value is not None and value.numel() <= SPELLED:
            return f"torch.tensor({value.tolist()}, dtype=torch.{dtype_name(dtype)})"
        fill = "ones" if dtype.is_floating_point and dtype.itemsize > 1 else "zeros"
        return f"torch.{fill}({', '.join(map(str, shape)) or '()'}, dtype=torch.{dtype_name(dtype)})"

    def size(self, size: int) -> int:
        if not self.way.small or size <= KEPT_SIZE:
            return size
        return self.sizes.setdefault(size, KEPT_SIZE + 1 + len(self.sizes))


def _name(function: object) -> str:
    """The dotted name under which plain torch has a function."""
    if str(function).split(".")[0] in oracle.STAND_INS:  # ours, in the place of a library's kernel
        raise _UnwritableError("it stands for a kernel of another library, not of torch")
    if isinstance(function, torch._ops.OpOverload):
        return f"torch.ops.{function}"
    name = resolve_name(function) or f"torch.{getattr(function, '__name__', '')}"
    found: Any = torch
    for part in name.split(".")[1:]:
        found = getattr(found, part, None)
    if found is not function and name.split(".")[0] == "torch" and found is None:
        raise _UnwritableError(f"torch has no public name for {name.removeprefix('torch.')}")
    return name


def _is_default(function: Any, key: str, value: object) -> bool:
    """Whether an argument says nothing: the short script leaves it out."""
    try:
        default = inspect.signature(function).parameters[key].default
    except (KeyError, TypeError, ValueError):
        return False
    return type(value) is type(default) and not isinstance(value, torch.Tensor) and bool(value == default)


def _raised(lines: tuple[str, ...]) -> str:
    """What a script raises when it is run on its own; "" if nothing."""
    said = _TRIED.get(lines)
    if said is None:
        said = _TRIED[lines] = _run("\n".join(lines))
    return said


def _run(source: str) -> str:
    off = torch.autocast("cpu", enabled=False)
    quiet = warnings.catch_warnings()
    with quiet, torch.no_grad(), torch._C._DisableTorchDispatch(), torch._C.DisableTorchFunction(), off:
        warnings.simplefilter("ignore")
        try:
            exec(compile(source, "script", "exec"), {"torch": torch})
        except Exception as error:
            return oracle.words(error)
    return ""
