"""Public remote codes as codes.tsv lists them, each laid out as a folder out of local git mirrors."""

from __future__ import annotations

import csv
import subprocess
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

CODES = Path(__file__).with_name("codes.tsv")

#: What a folder takes from its mirror: code, configurations, and what a tokenizer or a processor reads. No weights.
KEPT = {".py", ".json", ".txt", ".model", ".tiktoken", ".jinja", ".md"}
LARGEST = 4 << 20


@dataclass(frozen=True, slots=True)
class Place:
    """A path in one commit of a repository."""

    repository: str
    revision: str
    path: str


@dataclass(frozen=True, slots=True)
class Code:
    """A remote code: the folder that contains it, and where its config.json comes from when the folder has none."""

    family: str
    name: str
    folder: Place
    config: Place | None
    beside: tuple[tuple[str, Place], ...] = ()
    """For each model that its code loads by name: its folder, and the config of it or of one built alike."""

    @property
    def title(self) -> str:
        return f"{self.family}__{self.name}"


def codes(table: Path = CODES) -> list[Code]:
    """Every line of the table, in its order."""
    with table.open(newline="") as text:
        return [_code(row) for row in csv.DictReader(text, delimiter="\t")]


def _code(row: dict[str, str]) -> Code:
    config = Place(*row["config"].split(":", 2)) if row["config"] else None
    folder = Place(row["repository"], row["revision"], row["folder"])
    named = [one.split("=", 1) for one in row["beside"].split()]
    beside = tuple((name, Place(*where.split(":", 2))) for name, where in named)
    return Code(row["family"], row["name"], folder, config, beside)


def lay_out(code: Code, mirrors: Path, into: Path) -> str | None:
    """The folder of a code, written to `into`; what is missing, in words, when it cannot be."""
    places = [code.folder, *([code.config] if code.config else []), *(place for _, place in code.beside)]
    for place in places:
        git = mirror(mirrors, place.repository)
        if git is None:
            return f"no mirror of {place.repository}"
        if not _git(git, "cat-file", "-t", place.revision).startswith(b"commit"):
            return f"no commit {place.revision[:10]} in the mirror of {place.repository}"
    for name, data in _files(mirrors, code.folder):
        target = into / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
    if code.config:
        (into / "config.json").write_bytes(_file(mirrors, code.config))
    return None if (into / "config.json").is_file() else f"no config.json in {code.folder.repository}"


def lay_beside(code: Code, mirrors: Path, folder: Path) -> None:
    """Write the configs of the models that the code of this folder loads by name, as folders beside it."""
    for name, place in code.beside:
        (folder.parent / name).mkdir(exist_ok=True)
        (folder.parent / name / "config.json").write_bytes(_file(mirrors, place))


def mirror(mirrors: Path, repository: str) -> Path | None:
    """The git directory of a repository below the folder of mirrors."""
    base = mirrors / repository.replace("/", "+")
    places = (base / "repo", base / "repo" / ".git", base, base / ".git")
    return next((place for place in places if (place / "objects").is_dir()), None)


def _files(mirrors: Path, folder: Place) -> list[tuple[str, bytes]]:
    git = mirror(mirrors, folder.repository)
    assert git is not None
    tree = f"{folder.revision}:{folder.path}" if folder.path else folder.revision
    listed = _git(git, "ls-tree", "-r", "-l", "-z", tree).decode(errors="replace").split("\0")
    found = []
    for line in filter(None, listed):
        facts, name = line.split("\t", 1)
        mode, kind, blob, size = facts.split()
        small = kind == "blob" and mode != "120000" and size.isdigit() and int(size) < LARGEST
        if small and PurePosixPath(name).suffix in KEPT:
            found.append((name, _git(git, "cat-file", "blob", blob)))
    return found


def _file(mirrors: Path, place: Place) -> bytes:
    git = mirror(mirrors, place.repository)
    assert git is not None
    return _git(git, "show", f"{place.revision}:{place.path}")


def _git(git: Path, *words: str) -> bytes:
    return subprocess.run(["git", "-C", str(git), *words], capture_output=True, check=False).stdout
