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
