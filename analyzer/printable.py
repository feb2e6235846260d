"""Makes any text harmless where it is printed: what a terminal or a CI's log would obey is written out."""

from __future__ import annotations

import re
from typing import Final
from unicodedata import category

_COMMAND: Final = re.compile(r"^([^\S\n]*):(?=:)", re.MULTILINE)
OLD_COMMAND: Final = re.compile(r"##(?=\w*\[)")
"""What a CI service obeys anywhere in a line."""


def shown(text: str, kept: str = "") -> str:
    r"""Text without anything that a terminal obeys or that cannot be seen: each such character is an escape.

    Line ends are escapes too, unless they are among those `kept`.

    >>> print(shown("a\x1b[31m\nb\u202e ü\ud800"))
    a\x1b[31m\nb\u202e ü\ud800
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in kept or category(c) == "Zs" else _escape(c) for c in text)


def logged(text: str) -> str:
    r"""Lines of which none is a command to the CI service whose log they land in.

    GitHub obeys `::` after blanks at the start of a line, and `##[` anywhere; Azure `##vso[`.

    >>> print(logged("at::Tensor\n  ::error::x"))
    at::Tensor
      \x3a:error::x
    """
    return OLD_COMMAND.sub(r"#\\x23", _COMMAND.sub(r"\1\\x3a", text))


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")
