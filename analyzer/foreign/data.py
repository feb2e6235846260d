"""Reads JSON that somebody else wrote, and checks that data are plain: no endless number, no bottomless list."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from analyzer.errors import AnalyzerError
from analyzer.foreign.lfs_pointers import is_pointer, pointer_error

DEEPEST: Final = 64
"""Levels of lists and objects; a config has five."""
_DIGITS: Final = 40
"""Of an integer: `model_max_length` of many tokenizers is int(1e30)."""
_LONGEST: Final = 1 << 20
"""Characters of a text; a chat template has some thousands."""
_MOST: Final = 5_000_000
"""Values in one file: labels, or the names of all tensors."""
_AGAIN: Final = "download or save the file again"


def parse_json(text: str | bytes, file: Path | str, hint: str = _AGAIN) -> object:
    """What JSON text holds, plain. Raises AnalyzerError, with the line where it is broken; `file` names it there."""
    check_containers(text, file)
    if is_pointer(text):
        raise pointer_error(Path(file))
    try:
        found: object = json.loads(text)
    except json.JSONDecodeError as error:
        raise AnalyzerError(f"{file}:{error.lineno}: broken JSON: {error.msg}", hint=hint) from error
    except RecursionError as error:
        raise _misfit(file, f"it is nested more than {DEEPEST} levels deep") from error
    except ValueError as error:  # a number with thousands of digits, bytes that are no text
        raise AnalyzerError(f"{file} cannot be read: {error}", hint=hint) from error
    check_data(found, file)
    return found


def check_containers(text: str | bytes, file: Path | str, most: int = _MOST) -> None:
    """Raises AnalyzerError for JSON of more lists and objects: each takes 60 bytes, however short it is."""
    if containers(text) > most:
        raise _misfit(file, f"it holds more than {most:,} lists and objects")


def containers(text: str | bytes) -> int:
    """How many lists and objects JSON has at most."""
    return text.count("[") + text.count("{") if isinstance(text, str) else text.count(b"[") + text.count(b"{")


def check_data(found: object, file: Path | str) -> None:
    """Raises AnalyzerError for data that are nested too deeply, too many, or hold a number or text too long."""
    level, count = [found], 0
    for _ in range(DEEPEST):
        below: list[object] = []
        for value in level:
            if isinstance(value, dict):
                below += [*value, *value.values()]
            elif isinstance(value, (list, tuple)):
                below += value
            elif wrong := _wrong(value):
                raise _misfit(file, wrong)
        count += len(below)
        if count > _MOST:
            raise _misfit(file, f"it holds more than {_MOST:,} values")
        if not below:
            return
        level = below
    raise _misfit(file, f"it is nested more than {DEEPEST} levels deep")


def _wrong(value: object) -> str:
    if isinstance(value, int) and value.bit_length() > _DIGITS * 3.4:
        return f"it holds an integer of more than {_DIGITS} digits"
    if not isinstance(value, str):
        return ""
    if len(value) > _LONGEST:
        return f"it holds a text of {len(value):,} characters"
    if not value.isascii() and any("\ud800" <= character <= "\udfff" for character in value):
        return "it holds half a character (a lone surrogate)"
    return ""


def _misfit(file: Path | str, wrong: str) -> AnalyzerError:
    return AnalyzerError(f"{file} cannot be read: {wrong}", hint=_AGAIN)
