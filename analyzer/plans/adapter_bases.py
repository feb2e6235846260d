"""Where the base of a PEFT adapter may lie, by the name that the adapter gives it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path


def candidates(root: Path, name: str) -> Iterator[Path]:
    """Where the base of an adapter may lie: `owner/name` is also looked for as `name` and as `owner--name`."""
    yield Path(name)
    for folder in (root, root.parent):
        yield folder / name
        yield folder / Path(name).name
        yield folder / name.replace("/", "--")


def in_reach(root: Path, place: Path) -> bool:
    """Whether an adapter may name a folder as its base, for all of it is then readable: the adapter is a stranger's.

    It lies in the folder that the adapter lies in, or in the working directory, and is not hidden there; or it is a
    snapshot of a Hugging Face cache.
    """
    real = place.resolve()
    if real.parent.name == "snapshots" and real.parent.parent.name.startswith("models--"):
        return True
    beside = root.absolute().parent, root.resolve().parent  # where a person says that it lies, and where it does
    return any(_below(real, folder.resolve()) for folder in (*beside, Path.cwd()))


def _below(place: Path, folder: Path) -> bool:
    if folder == Path(folder.anchor) or not place.is_relative_to(folder):
        return False
    return not any(part.startswith(".") for part in place.relative_to(folder).parts)
