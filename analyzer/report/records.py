"""Plain data, as JSON holds it, read into frozen dataclasses by the annotations of their fields."""

from __future__ import annotations

import json
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from functools import cache, partial
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar

from analyzer.errors import AnalyzerError
from analyzer.ir.literal_types import REASONS, WITNESSES
from analyzer.ir.plan import FieldValue
from analyzer.ir.reason import Reason
from analyzer.ir.witness import Witness

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

LARGEST: Final = 1 << 63
"""Numbers from here on are no count, line or size."""
T = TypeVar("T")
Word = TypeVar("Word", bound=str)
Reader: TypeAlias = Callable[[object], Any]
"""Reads plain data into a value of the annotation that it was made for, which no type can say."""


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


def read_record(kind: type[T], data: object) -> T:
    """The value of a class that plain data stand for; fields that are left out have their defaults.

    Keys that the class does not know are passed over. Raises Misfit for a wrong type, and for a value that the class
    itself refuses.
    """
    return read_value(kind, data)


def parse_value(kind: type[T], data: bytes, what: str) -> T:
    """The value of an annotation that JSON text stands for; `what` names the text in an error. Raises AnalyzerError."""
    try:
        found: T = read_value(kind, json.loads(data))
    except (Misfit, ValueError, RecursionError) as error:
        raise AnalyzerError(f"{what} cannot be read: {error}", hint="use one version of analyze") from error
    return found


def read_value(kind: type[T], data: object) -> T:
    """The same for any annotation: `tuple[str, ...]`, `dict[str, int]`. Raises Misfit."""
    found: T = _reader(kind)(data)  # type: ignore[arg-type]  # mypy takes no class for hashable
    return found


def one_of(words: Iterable[Word]) -> Callable[[object], Word]:
    """What reads one of these words; it raises Misfit for anything else."""
    known: dict[str, Word] = {word: word for word in words}

    def read(data: object) -> Word:
        found = known.get(data) if type(data) is str else None
        if found is None:
            raise Misfit(f"{_shown(data)} is none of {', '.join(known)}"[:120])
        return found

    return read


def as_list(data: object, name: str, length: int | None = None) -> list[object]:
    """The data, which are a list, of so many items where that is known. Raises Misfit."""
    if type(data) is not list or (length is not None and len(data) != length):
        raise Misfit(f"{name} is no list" + (f" of {length}" if length else ""))
    return data


def as_object(data: object) -> dict[str, object]:
    """The data, which are an object. Raises Misfit."""
    if type(data) is not dict:
        raise Misfit(f"{str(data)[:40]} is no object")
    return data


@cache
def _reader(kind: object) -> Reader:
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if isinstance(kind, type) and is_dataclass(kind):
        return _record(kind)
    if origin is typing.Literal:
        return one_of(inner)
    if origin is tuple:
        return _sequence(_reader(inner[0]))
    if origin in (dict, Mapping):
        return _mapping(_reader(inner[1]))
    if origin in (typing.Union, types.UnionType) and inner[1:] == (type(None),):
        return _optional(_reader(inner[0]))
    if kind in _LEAVES:
        return _LEAVES[kind]
    raise TypeError(f"no field can be a {kind}")


def _record(kind: type[DataclassInstance]) -> Reader:
    make: Callable[..., object] = kind
    hints = typing.get_type_hints(kind)
    spoken = [(one.name, _SPOKEN[hints[one.name]]) for one in fields(kind) if hints[one.name] in _SPOKEN]
    plain = [one for one in fields(kind) if hints[one.name] not in _SPOKEN]
    known = [(one.name, _reader(hints[one.name]), _needed(one)) for one in plain]

    def read(data: object) -> object:
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
            return make(**values)
        except AnalyzerError as error:
            raise Misfit(error.message) from error

    return read


_REASON: Final = one_of(REASONS)
_WITNESS: Final = one_of(WITNESSES)


def read_reason(text: object, kind: object) -> Reason:
    """A reason out of its words and its kind, which older reports do not have. Raises Misfit."""
    return Reason(_text(text or ""), _REASON(kind or ""))


def read_witness(text: object, kind: object) -> Witness:
    """A witness out of its words and its kind; in older reports the CPU's words are their kind. Raises Misfit."""
    words = _text(text or "")
    return Witness(_WITNESS(kind or (words if words in WITNESSES else "from source")), words)


_SPOKEN: Final[dict[object, Callable[..., Reason | Witness]]] = {Reason: read_reason, Witness: read_witness}
"""Values that JSON holds as their words under the field's name, and their kind under that name with `_kind`."""


def _needed(field: Field[object]) -> bool:
    return field.default is MISSING and field.default_factory is MISSING


def _sequence(read_item: Reader) -> Reader:
    def read(data: object) -> tuple[object, ...]:
        if type(data) is not list:
            raise Misfit(f"{_shown(data)} is no list")
        return tuple([_inside(str(i), read_item, item) for i, item in enumerate(data)])

    return read


def _mapping(read_item: Reader) -> Reader:
    def read(data: object) -> dict[str, object]:
        if type(data) is not dict:
            raise Misfit(f"{_shown(data)} is no object")
        return {key: _inside(key, read_item, item) for key, item in data.items()}

    return read


def _optional(read_some: Reader) -> Reader:
    return lambda data: None if data is None else read_some(data)


def _text(data: object) -> str:
    if type(data) is not str:
        raise Misfit(f"{_shown(data)} is no text")
    return data


def _switch(data: object) -> bool:
    if type(data) is not bool:
        raise Misfit(f"{_shown(data)} is neither true nor false")
    return data


def _number(data: object) -> int:
    if type(data) is not int or not -LARGEST < data < LARGEST:
        raise Misfit(f"{_shown(data)} is no whole number of 64 bits")
    return data


def _real(data: object) -> float:
    if type(data) not in (int, float) or not isfinite(data):  # type: ignore[arg-type]
        raise Misfit(f"{_shown(data)} is no number")
    return float(data)  # type: ignore[arg-type]


def _path(data: object) -> Path:
    return Path(_text(data))


_LEAVES: Final[dict[object, Reader]] = {
    str: _text,
    bool: _switch,
    int: _number,
    float: _real,
    Path: _path,
    object: lambda data: data,
    FieldValue: lambda data: data,
}


def _inside(name: str, read: Callable[[object], T], data: object) -> T:
    try:
        return read(data)
    except Misfit as error:
        raise error.within(name) from None


def _shown(data: object) -> str:
    return repr(data)[:40]
