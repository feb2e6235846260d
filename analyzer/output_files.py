"""Puts bytes on stdout or into files, whole or not at all."""

from __future__ import annotations

import os
import secrets
import stat
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path, PurePath
from typing import Final, TextIO

from analyzer.errors import AnalyzerError
from analyzer.held_signals import signals_held

STDOUT: Final = "-"
_NEW: Final = (
    os.O_WRONLY | os.O_CREAT | os.O_EXCL
    | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
)  # fmt: skip
"""A file that is not there yet, under no name that somebody laid out before."""


def deliver(target: str, data: bytes) -> None:
    """Put the bytes on stdout or, whole or not at all, into the file. Raises AnalyzerError where it cannot."""
    if target == STDOUT:
        if sys.stdout is None:
            raise AnalyzerError("standard output is closed", hint="give a file with --out")
        _write_bytes(sys.stdout, data)
    else:
        deliver_all({Path(os.path.realpath(target)): data}, target)  # a link stays a link


def deliver_folder(folder: Path, files: Mapping[str, bytes]) -> None:
    """Put all the files into a folder, which is made if need be, or none; whatever else is there stays."""
    for name in files:
        if PurePath(name).is_absolute() or ".." in PurePath(name).parts:
            raise AnalyzerError(f"{name} lies outside of {folder}", hint="nothing was written")
    try:
        for place in dict.fromkeys((folder, *((folder / name).parent for name in files))):
            place.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise AnalyzerError(f"cannot make {folder}: {error.strerror}", hint="give another folder") from error
    deliver_all({folder / name: data for name, data in files.items()}, str(folder))


def check_file(target: Path) -> None:
    """Refuse, before the slow part, a file that cannot be written. Raises AnalyzerError."""
    try:
        kind = target.stat().st_mode
    except FileNotFoundError:
        kind = stat.S_IFREG
    except (OSError, ValueError) as error:  # a name that is too long, or holds a NUL
        words = error.strerror if isinstance(error, OSError) else str(error)
        raise AnalyzerError(f"cannot write {target}: {words}", hint="give another file name") from error
    if not stat.S_ISREG(kind) and not stat.S_ISDIR(kind):
        raise AnalyzerError(f"{target} is a device, a pipe or a socket, not a file", hint="'-' is standard output")
    if _is_standard(target):
        raise AnalyzerError(f"{target} is where standard output goes", hint="'-' is standard output")
    folder = Path(os.path.realpath(target)).parent
    if not folder.is_dir():
        raise AnalyzerError(f"no such output folder: {target.parent}", hint="make it first")
    if target.is_dir():
        raise AnalyzerError(f"{target} is a folder", hint="give a file name, such as graph.svg")
    if not os.access(folder, os.W_OK) or (target.exists() and not os.access(target, os.W_OK)):
        raise AnalyzerError(f"cannot write {target}", hint="it or its folder is read-only")


def check_folder(folder: Path) -> None:
    """Refuse, before the slow part, a folder that cannot be made or written. Raises AnalyzerError."""
    nearest = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    if not nearest.is_dir():
        raise AnalyzerError(f"{nearest} is a file", hint="give a folder for the scripts")
    if not os.access(nearest, os.W_OK):
        raise AnalyzerError(f"cannot write {folder}", hint="it or its folder is read-only")


def deliver_all(files: Mapping[Path, bytes], shown: str) -> None:
    """Write every file beside its place, then move all there; `shown` names the target in an error."""
    halves: dict[Path, Path] = {}
    try:
        for final, data in files.items():
            half = final.with_name(f".analyze-{secrets.token_hex(12)}.tmp")  # a name that nobody can foresee
            with signals_held():
                opened = os.open(half, _NEW, 0o666)
                halves[final] = half
            _fill(opened, data, final)
        for final, half in halves.items():
            if final.exists() and not final.is_file():  # since it was checked
                raise AnalyzerError(f"{shown} is no regular file", hint="it was not touched")
            half.replace(final)
    except OSError as error:
        raise AnalyzerError(f"cannot write {shown}: {error.strerror}", hint="the old file is untouched") from error
    finally:
        with signals_held():
            for half in halves.values():
                with suppress(OSError):
                    half.unlink()


def _is_standard(target: Path) -> bool:
    """Whether a file is what stdout or stderr were led into: it would be replaced while it is written."""
    for number in (1, 2):
        with suppress(OSError):
            if os.path.samestat(target.stat(), os.fstat(number)):
                return True
    return False


def _fill(descriptor: int, data: bytes, final: Path) -> None:
    """Write a new file, with the rights of the one whose place it will take."""
    with os.fdopen(descriptor, "wb") as opened:
        if hasattr(os, "fchmod") and final.exists():
            os.fchmod(descriptor, final.stat().st_mode & 0o777)
        opened.write(data)


def _write_bytes(stream: TextIO, data: bytes) -> None:
    stream.flush()
    stream.buffer.write(data)
    stream.buffer.flush()
