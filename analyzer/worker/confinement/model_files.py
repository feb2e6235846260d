"""The files that a model stands for: its folder, and the links that lead out of it to weights."""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Final

from analyzer.foreign.links import blobs_of, may_be_read
from analyzer.worker.confinement.interpreter_files import is_too_wide

_SOURCE: Final = ".py"
_ENTRIES: Final = 100_000
"""Entries of a folder that are looked at: a model has a few hundred."""


def model_paths(path: Path) -> tuple[str, ...]:
    """Return what reading a model means, sorted.

    Of a folder: the folder, and the files outside that its links lead to, if they are weights or lie in the blobs of
    the same Hugging Face cache; other links out of it stay unreadable. Of a source file: `source_paths`. Of any other
    file: that file.
    """
    real = path.resolve()
    if not real.is_dir():
        return source_paths(real) if real.suffix == _SOURCE else (str(real),)
    blobs = blobs_of(path.absolute(), real)
    outside = {str(target) for target in _targets(real) if may_be_read(target, real, blobs)}
    return tuple(sorted({str(real), *outside}))


def source_paths(file: Path) -> tuple[str, ...]:
    """Return what a person's own Python file may read: what lies in its folder.

    Where that is a home, or holds one, it is the file, and the modules and packages beside it.
    """
    folder = file.resolve().parent
    if not is_too_wide(folder):
        return (str(folder),)
    beside = [*folder.glob(f"*{_SOURCE}"), *(package.parent for package in folder.glob(f"*/__init__{_SOURCE}"))]
    return tuple(sorted(str(one) for one in beside if not one.name.startswith(".")))


def _targets(folder: Path) -> Iterator[Path]:
    """Yield where the links in a folder lead; links to folders are not followed, nor are hidden folders searched."""
    for file in islice(_files(folder), _ENTRIES):
        try:
            if file.is_symlink():
                yield Path(os.path.realpath(file))
        except (OSError, ValueError):
            continue  # of another process, say: it cannot be read either


def _files(folder: Path) -> Iterator[Path]:
    """Yield the files below a folder, and the folders, which count too."""
    for root, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield from (Path(root, name) for name in (*files, *folders))
