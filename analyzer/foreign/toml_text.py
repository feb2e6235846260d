"""Reads TOML that somebody else wrote: short, and without keys of endless parts, over which its reader never ends."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Final

from analyzer.errors import AnalyzerError
from analyzer.foreign.data import DEEPEST, check_data

LARGEST: Final = 1 << 20
"""Characters of a file."""
_STRINGS: Final = re.compile(
    r'"""(?:[^\\]|\\.)*?"""' r"|'''.*?'''" r'|"(?:[^"\\\n]|\\.)*"' r"|'[^'\n]*'|#[^\n]*", re.DOTALL
)
_DOTTED: Final = re.compile(rf"(?:\.[ \t]*(?:[\w-]+[ \t]*)?){{{DEEPEST}}}")
"""More parts than a key may have: tomllib looks at every beginning of a key, for every part."""


def parse_toml(text: str, file: Path) -> dict[str, object]:
    """What TOML text holds, plain. Raises AnalyzerError."""
    if len(text) > LARGEST:
        raise AnalyzerError(f"{file} is too large to be read", hint=f"TOML of no more than {LARGEST >> 10} KiB")
    if _DOTTED.search(_STRINGS.sub("s", text)):
        raise AnalyzerError(f"{file} cannot be read: a key of more than {DEEPEST} parts", hint="mend it")
    try:
        found = _loads(text)
    except (ValueError, RecursionError) as error:
        raise AnalyzerError(f"{file} cannot be read: {error}", hint="mend it") from error
    check_data(found, file)
    return found


def _loads(text: str) -> dict[str, object]:
    """Read it; a worker, which has no need to, may run where there is no reader."""
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    return tomllib.loads(text)
