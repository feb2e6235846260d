"""Puts bytes on stdout or into files, whole or not at all."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path, PurePath
from typing import Final, TextIO

from analyzer.errors import AnalyzerError

STDOUT: Final = "-"


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
    folder = target.parent
    if not folder.is_dir():
        raise AnalyzerError(f"no such output folder: {folder}", hint="make it first")
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
    halves = {final: final.with_name(f".{final.name}.{os.getpid()}.tmp") for final in files}
    try:
        for final, data in files.items():
            halves[final].write_bytes(data)
        for final, half in halves.items():
            half.replace(final)
    except OSError as error:
        for half in halves.values():
            with suppress(OSError):
                half.unlink()
        raise AnalyzerError(f"cannot write {shown}: {error.strerror}", hint="the old file is untouched") from error


def _write_bytes(stream: TextIO, data: bytes) -> None:
    stream.flush()
    stream.buffer.write(data)
    stream.buffer.flush()
