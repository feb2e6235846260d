"""Which links out of a model's folder may be followed: those to weights, and to the blobs of the same repository."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

# Read for their headers alone, or without running what they hold. The name that counts is the target's: the folder is a
# stranger's, and so is the name of a link in it.
_WEIGHTS: Final = frozenset({".safetensors", ".bin", ".pt", ".pth", ".gguf"})


def may_be_read(target: Path, folder: Path, blobs: Path | None) -> bool:
    """Whether a file outside of a folder, to which a link in it leads, may be read; both are real paths."""
    if folder in target.parents or not _is_file(target):
        return False
    return target.suffix in _WEIGHTS or (blobs is not None and blobs in target.parents)


def lies_in(path: Path, folder: Path) -> bool:
    """Whether what a path leads to lies in a folder; also of a link that leads to itself, which `resolve` refuses."""
    return Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder))


def is_own(file: Path, folder: Path) -> bool:
    """Whether what a name below a folder leads to is the folder's own, or the cache's of the same repository."""
    blobs = blobs_of(folder.absolute(), Path(os.path.realpath(folder)))
    return lies_in(file, folder) or (blobs is not None and lies_in(file, blobs))


def blobs_of(*folders: Path) -> Path | None:
    """The blobs beside `models--X/snapshots/REVISION`, if a folder is that or lies in it."""
    for folder in folders:
        for inner in (folder, *folder.parents):
            snapshots = inner.parent
            if snapshots.name == "snapshots" and snapshots.parent.name.startswith("models--"):
                return (snapshots.parent / "blobs").resolve()
    return None


def _is_file(target: Path) -> bool:
    try:
        return target.is_file()
    except OSError:
        return False
