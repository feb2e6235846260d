"""What one input is: files below a folder, and the arguments of the command; and how it is written."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

Special = Literal["fifo", "folder", "sparse"]
LARGE: Final = 3 << 30
"""Bytes of a file that is only said to be so large: it has no blocks."""


@dataclass(frozen=True, slots=True)
class Link:
    """A symbolic link, wherever it leads."""

    target: str


Content = bytes | Link | Special
Files = Mapping[str, Content]


@dataclass(frozen=True, slots=True)
class Seed:
    """A sound input: files by their paths below the working folder, and the command that reads them."""

    files: Files
    argv: tuple[str, ...]
    foreign: tuple[str, ...] = ()
    """The files that are mutated; none named is all."""


@dataclass(frozen=True, slots=True)
class Input:
    """A mutated seed."""

    name: str
    """`config:17`: its kind and number."""
    seed: str
    files: Files
    argv: tuple[str, ...]
    trail: tuple[str, ...]
    """What was done to the seed, in words."""


@dataclass(frozen=True, slots=True)
class Place:
    """The folders of one input: the working folder, and those that the child is given as its own."""

    root: Path

    @property
    def work(self) -> Path:
        """The working folder, with the input's files."""
        return self.root / "work"

    @property
    def out(self) -> Path:
        """Where the command line puts outputs: `../out` of the working folder."""
        return self.root / "out"

    @property
    def own(self) -> tuple[Path, Path]:
        """Folders that must be empty afterwards: of temporary files, and the home."""
        return self.root / "tmp", self.root / "home"

    def make(self, files: Files) -> None:
        """Write the files. What no file system takes, such as a name of 300 characters, is left out."""
        for folder in (self.work, self.out, *self.own):
            folder.mkdir(parents=True)
        for name, content in files.items():
            try:
                _write(self.work / name, content)
            except (OSError, ValueError):
                continue

    def text(self, name: str) -> str:
        """What a file beside these folders holds, such as a stream of the child; "" where there is none."""
        file = self.root / name
        return file.read_text(encoding="utf-8", errors="surrogateescape") if file.is_file() else ""


def _write(path: Path, content: Content) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif isinstance(content, Link):
        path.symlink_to(content.target)
    elif content == "fifo":
        os.mkfifo(path)
    elif content == "folder":
        path.mkdir()
    else:
        with path.open("wb") as file:
            file.truncate(LARGE)
