"""Knows the small text that Git LFS leaves in place of a file that was not brought, and says how to bring it."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Final

from analyzer.errors import AnalyzerError
from analyzer.foreign.hub_cache import repository_of

_START: Final = b"version https://git-lfs"
_LARGEST: Final = 1024
"""Bytes; a pointer has some 130."""


def is_pointer(start: str | bytes) -> bool:
    """Whether a file that starts with this is a pointer."""
    return (start if isinstance(start, bytes) else start[: len(_START)].encode()).startswith(_START)


def is_pointer_file(file: Path) -> bool:
    """Whether a regular file is a pointer."""
    try:
        if file.stat().st_size > _LARGEST:
            return False
        with file.open("rb") as stream:
            return is_pointer(stream.read(len(_START)))
    except OSError:
        return False


def how_to_bring(file: Path, *others: str) -> str:
    """The command that brings a file, or others of its folder: by git where it lies in a checkout."""
    whole = file.absolute()
    names = others or (file.name,)
    if repository := repository_of(whole.parent):
        return repository.download(*names)
    top = next((folder for folder in whole.parents if (folder / ".git").exists()), None)
    if top is None:
        return "download the file itself, or clone with git-lfs"
    inside = ",".join((whole.parent.relative_to(top) / name).as_posix() for name in names)
    return f"git -C {shlex.quote(str(top))} lfs pull --include {shlex.quote(inside)}"


def pointer_error(file: Path) -> AnalyzerError:
    """What is said of a file that is a pointer and is needed."""
    return AnalyzerError(f"{file} is a git-lfs pointer, not the file", hint=how_to_bring(file))
