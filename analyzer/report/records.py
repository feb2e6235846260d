"""Plain data, as JSON holds it, read into frozen dataclasses by the annotations of their fields."""

from __future__ import annotations

import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields, is_dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any, Final, TypeVar

from analyzer.errors import AnalyzerError
from analyzer.ir.literal_types import REASONS, WITNESSES
from analyzer.ir.reason import Reason
from analyzer.ir.witness import Witness

LARGEST: Final = 1 << 63
"""Numbers from here on are no count, line or size."""
T = TypeVar("T")


class Misfit(Exception):
    """Data that are not what they should be: what is wrong, and the way to the field."""

    def __init__(self, what: str, *path: str) -> None:
        super().__init__(what)
        self.what, self.path = what, path

    def __str__(self) -> str:
        return f"{'.'.join(self.path)[:80]}: {self.what}" if self.path else self.what

    def within(self, *path: str) -> Misfit:
        """The same, seen from further out."""
        return Misfit(self.what, *path, *self.path)


def read_record(kind: type[T], data: Any) -> T:
    """The value of a class that plain data stand for; fields that are left out have their defaults.

    Keys that the class does not know are passed over. Raises Misfit for a wrong type, and for a value that the class
    itself refuses.
    """
    found: T = read_value(kind, data)
    return found


def read_value(kind: Any, data: Any) -> Any:
    """The same for any annotation: `tuple[str, ...]`, `dict[str, int]`. Raises Misfit."""
    return _reader(kind)(data)


@cache
def _reader(kind: Any) -> Callable[[Any], Any]:
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if is_dataclass(kind):
        return _record(kind)
    if origin is typing.Literal:
        return _word(inner)
    if origin is tuple:
        return _sequence(_reader(inner[0]))
    if origin in (dict, Mapping):
        return _mapping(_reader(inner[1]))
    if origin in (typing.Union, types.UnionType) and inner[1:] == (type(None),):
        return _optional(_reader(inner[0]))
    if kind in _LEAVES:
        return _LEAVES[kind]
    raise TypeError(f"no field can be a {kind}")


def _record(kind: Any) -> Callable[[Any], Any]:
    hints = typing.get_type_hints(kind)
    spoken = [(one.name, _SPOKEN[hints[one.name]]) for one in fields(kind) if hints[one.name] in _SPOKEN]
    plain = [one for one in fields(kind) if hints[one.name] not in _SPOKEN]
    known = [(one.name, _reader(hints[one.name]), _needed(one)) for one in plain]

    def read(data: Any) -> Any:
        if type(data) is not dict:
            raise Misfit(f"{_shown(data)} is no object")
        values = {}
        for name, read_field, needed in known:
            if name in data:
                values[name] = _inside(name, read_field, data[name])
            elif needed:
                raise Misfit("it is missing", name)
        for name, read_spoken in spoken:
            if name in data:
                values[name] = _inside(name, partial(read_spoken, kind=data.get(f"{name}_kind")), data[name])
        try:
            return kind(**values)
        except AnalyzerError as error:
            raise Misfit(error.message) from error

    return read


def read_reason(text: Any, kind: Any) -> Reason:
    """A reason out of its words and its kind, which older reports do not have. Raises Misfit."""
    return Reason(_text(text or ""), _word(REASONS)(kind or ""))


def read_witness(text: Any, kind: Any) -> Witness:
    """A witness out of its words and its kind; in older reports the CPU's words are their kind. Raises Misfit."""
    words = _text(text or "")
    return Witness(_word(WITNESSES)(kind or (words if words in WITNESSES else "from source")), words)


_SPOKEN: Final[dict[Any, Callable[..., Any]]] = {Reason: read_reason, Witness: read_witness}
"""Values that JSON holds as their words under the field's name, and their kind under that name with `_kind`."""


def _needed(field: Any) -> bool:
    return field.default is MISSING and field.default_factory is MISSING


def _sequence(read_item: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def read(data: Any) -> Any:
        if type(data) is not list:
            raise Misfit(f"{_shown(data)} is no list")
        return tuple([_inside(str(i), read_item, item) for i, item in enumerate(data)])

    return read


def _mapping(read_item: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def read(data: Any) -> Any:
        if type(data) is not dict:
            raise Misfit(f"{_shown(data)} is no object")
        return {key: _inside(key, read_item, item) for key, item in data.items()}

    return read


def _optional(read_some: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda data: None if data is None else read_some(data)


def _text(data: Any) -> str:
    if type(data) is not str:
        raise Misfit(f"{_shown(data)} is no text")
    return data


def _word(words: tuple[Any, ...]) -> Callable[[Any], Any]:
    def read(data: Any) -> Any:
        if type(data) is not str or data not in words:
            raise Misfit(f"{_shown(data)} is none of {', '.join(words)}"[:120])
        return data

    return read


def _switch(data: Any) -> bool:
    if type(data) is not bool:
        raise Misfit(f"{_shown(data)} is neither true nor false")
    return data


def _number(data: Any) -> int:
    if type(data) is not int or not -LARGEST < data < LARGEST:
        raise Misfit(f"{_shown(data)} is no whole number of 64 bits")
    return data


def _path(data: Any) -> Path:
    return Path(_text(data))


_LEAVES: Final[dict[Any, Callable[[Any], Any]]] = {
    str: _text,
    bool: _switch,
    int: _number,
    Path: _path,
    Any: lambda data: data,
}


def _inside(name: str, read: Callable[[Any], Any], data: Any) -> Any:
    try:
        return read(data)
    except Misfit as error:
        raise error.within(name) from None


def _shown(data: Any) -> str:
    return repr(data)[:40]
