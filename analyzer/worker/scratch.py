"""The scratch folder of a worker: made for one conversation, and removed whatever the worker left in it."""

from __future__ import annotations

import itertools
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from analyzer.errors import AnalyzerError
from analyzer.held_signals import signals_held


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """A new folder for as long as this lasts; that it cannot be removed is no error. Raises AnalyzerError."""
    made: list[Path] = []
    try:
        with signals_held():
            made.append(_made())
        yield made[0]
    finally:
        with signals_held(), suppress(OSError):
            for folder in made:
                remove(folder)


def _made() -> Path:
    try:
        return Path(tempfile.mkdtemp(prefix="analyze-")).resolve()
    except OSError as error:
        words = f"no temporary folder can be made: {error.strerror}"
        raise AnalyzerError(words, hint="TMPDIR=FOLDER names another place") from error


def remove(folder: Path) -> None:
    """Remove a folder and all in it, links as links, without going deep: folders in folders are moved up first.

    A stranger's code may nest them until no path reaches the last, and no recursion comes back. Raises OSError.
    """
    numbers = itertools.count()
    while entries := list(os.scandir(folder)):
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                _lift(Path(entry.path), folder, numbers)
            else:
                Path(entry.path).unlink()
    folder.rmdir()


def _lift(inner: Path, top: Path, numbers: Iterator[int]) -> None:
    """Remove a folder in `top`; the folders in it move up into `top`."""
    inner.chmod(stat.S_IRWXU)
    for entry in list(os.scandir(inner)):
        if entry.is_dir(follow_symlinks=False):
            Path(entry.path).chmod(stat.S_IRWXU)
            Path(entry.path).rename(_free(top, numbers))
        else:
            Path(entry.path).unlink()
    inner.rmdir()


def _free(top: Path, numbers: Iterator[int]) -> Path:
    return next(place for number in numbers if not os.path.lexists(place := top / f"moved-{number}"))
