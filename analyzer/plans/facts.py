"""What recipes say, under one set of names whatever the dialect, merged so that later ones win."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, TypeVar

from analyzer.errors import AnalyzerError

_WORDS: Final = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False,
                 "0": False, "": False, "none": False, "null": False}  # fmt: skip
Kind = TypeVar("Kind")
Other = TypeVar("Other")
AUTO: Final = "auto"
"""A value that another recipe decides."""
ABSENT: Final = "absent"
"""A section that a DeepSpeed configuration does not have: accelerate puts one there, the Trainer does not see it."""


@dataclass(frozen=True, slots=True)
class Facts:
    """Facts by name (`bf16`, `fsdp.version`, ...), and in words what has no effect on a trace.

    `a.then(b)` is associative, and `Facts()` changes nothing.
    """

    values: Mapping[str, object] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    read: tuple[str, ...] = ()

    def then(self, later: Facts) -> Facts:
        """Both together; where both say something, the later one is believed."""
        notes = tuple(dict.fromkeys((*self.notes, *later.notes)))
        return Facts({**self.values, **later.values}, notes, (*self.read, *later.read))


def fact(values: Mapping[str, object], name: str, kind: type[Kind], default: Other) -> Kind | Other:
    """A fact of this type; the default where there is none."""
    value = values.get(name)
    return value if isinstance(value, kind) else default


def truth(value: object, where: str) -> bool:
    """Whether a switch is on, in any spelling that YAML, JSON or a shell gives it; empty is off.

    >>> truth("no", "x"), truth(None, "x"), truth("True", "x")
    (False, False, True)
    """
    if value is None or isinstance(value, (bool, int)):
        return bool(value)
    word = str(value).strip().lower()
    if word not in _WORDS:
        raise AnalyzerError(f"{where}: '{value}' is neither true nor false", hint="write true or false")
    return _WORDS[word]


def section(value: object, where: str) -> Mapping[str, object]:
    """A part of a recipe that holds keys of its own; nothing is an empty one."""
    if value is None or value == "":
        return {}
    if not isinstance(value, Mapping):
        raise AnalyzerError(f"{where}: '{value}' holds no keys", hint="write its keys below it, as key: value")
    return value


def whole(value: object, where: str, default: int) -> int:
    """A whole number, in digits or as a word of digits; nothing is the default."""
    if value is None or value == "":
        return default
    if isinstance(value, bool) or not str(value).strip().isdecimal():
        raise AnalyzerError(f"{where}: '{value}' is no whole number", hint=f"for example {default}")
    return int(str(value))


def switch(value: object, where: str) -> bool | str:
    """As `truth`, or AUTO."""
    return AUTO if str(value).strip().lower() == AUTO else truth(value, where)
