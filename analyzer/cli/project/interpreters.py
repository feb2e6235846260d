"""The project that the command stands in: the interpreter that its pyproject.toml names, and the one beside that file.

The working directory may be a stranger's. So an interpreter is started for a file's word alone only where that file is
outside of the model and the person's own, and where git says that the interpreter came with no commit.
"""

from __future__ import annotations

import os
import re
import sys
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Final

from analyzer.check.suppressions import PYTHON, analyzer_table
from analyzer.cli.git_blobs import git
from analyzer.errors import AnalyzerError
from analyzer.foreign import is_file, is_folder, read_small_text

_FILE: Final = "pyproject.toml"
_INTERPRETERS: Final = (Path("bin", "python"), Path("Scripts", "python.exe"))
_VENV: Final = ".venv"
_HINT: Final = "say yourself which one: --python PATH"
_NEEDED: Final = ("torch", "transformers")
_RELEASE: Final = re.compile(r"[\w.+!-]{1,40}", re.ASCII)
_ENTRIES: Final = 2000
"""Packages of an environment that are looked at."""


@dataclass(frozen=True, slots=True)
class Beside:
    """An interpreter that is not used, and the packages that it has with their releases, by their folders' names."""

    python: str = ""
    has: dict[str, str] = field(default_factory=dict)


def project_python(model: Path) -> str:
    """The interpreter that the project in the working directory names, "" for none.

    Raises AnalyzerError for one that is not there, or that may be a stranger's.
    """
    for folder in _above(Path.cwd(), model):
        file = folder / _FILE
        table = _table(file) if is_file(file) else None
        if table is None:
            continue
        said = table.get(PYTHON) if isinstance(table, dict) else None
        if said is None:
            return ""
        if not isinstance(said, str) or not said.strip():
            raise AnalyzerError(
                f"{file}: tool.analyzer.{PYTHON} is no path", hint='such as python = ".venv/bin/python"'
            )
        python = folder / os.path.expanduser(said)  # noqa: PTH111 (Path's raises for a person who is not known)
        if not is_file(python):
            raise AnalyzerError(f"{file}: tool.analyzer.{PYTHON}: no such file: {said}", hint=_HINT)
        _check_owners(file, python)
        _check_commits(file, python)
        return os.path.relpath(python) if python.is_relative_to(Path.cwd()) else str(python)
    return ""


def beside(model: Path) -> Beside:
    """The `.venv` beside the nearest pyproject.toml, unless it runs this or lacks what a trace needs."""
    file = next((one / _FILE for one in _above(Path.cwd(), model) if is_file(one / _FILE)), None)
    venv = file.parent / _VENV if file is not None else None
    python = next((venv / one for one in _INTERPRETERS if is_file(venv / one)), None) if venv else None
    if file is None or venv is None or python is None or venv.resolve() == Path(sys.prefix).resolve():
        return Beside()
    has = dict(_packages(venv))
    if any(not has.get(name) for name in _NEEDED):
        return Beside()
    try:
        _check_owners(file, python)
        _check_commits(file, python)
    except AnalyzerError:  # nobody shall be told to start what a stranger has put there
        return Beside()
    return Beside(os.path.relpath(python), has)


def _above(folder: Path, model: Path) -> Iterator[Path]:
    """A folder and those that it lies in, but for the model and what is in it."""
    root = model.resolve()
    if not root.is_dir():
        root = root.parent / root.name
    yield from (one for one in (folder, *folder.parents) if not one.resolve().is_relative_to(root))


def _table(file: Path) -> object:
    """[tool.analyzer] of a file; None for one that cannot be read or has nothing for analyze, be it broken or not."""
    try:
        text = read_small_text(file)
    except (AnalyzerError, OSError):
        return None
    return analyzer_table(file) if "analyzer" in text else None


def _check_owners(*files: Path) -> None:
    """Raise AnalyzerError for a file of somebody else, who may have put it where a person works."""
    if os.name == "nt":
        return
    for file in files:
        if file.lstat().st_uid not in (os.getuid(), 0):
            raise AnalyzerError(f"{file} belongs to somebody else", hint=_HINT)


def _check_commits(file: Path, python: Path) -> None:
    """Raise AnalyzerError unless the folder is a repository, and git keeps nothing of the interpreter's environment."""
    environment = python.parent.parent
    places = {python, environment, python.resolve().parent, environment.resolve()}
    try:
        top = Path(git(file.parent, *_TOP).strip())
        inside = [place for place in places if place.is_relative_to(top)]
        kept = any(git(file.parent, "ls-files", "-z", "--", str(place)) for place in inside)
        kept = kept or any(map(_is_kept, places.difference(inside))) or _otherwise_spelled(top, inside)
    except AnalyzerError as error:
        message = f"{file} names an interpreter, and git does not say that it is yours: {error.message}"
        raise AnalyzerError(message, hint=_HINT) from error
    if kept:
        raise AnalyzerError(f"{file} names an interpreter that came with the repository: {python}", hint=_HINT)


def _otherwise_spelled(top: Path, places: Iterable[Path]) -> bool:
    """Whether git keeps places under names that are the same on systems which tell neither case nor accents apart."""
    kept = [_folded(name) for name in git(top, "ls-files", "-z").split("\0")]
    wanted = {_folded(os.path.relpath(place, top)).replace(os.sep, "/") for place in places}
    return any(name == one or name.startswith(f"{one}/") for one in wanted for name in kept)


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()


def _is_kept(place: Path) -> bool:
    """Whether another repository keeps a place: the one of which this is a submodule may have brought it too."""
    try:
        return bool(git(place if is_folder(place) else place.parent, "ls-files", "-z", "--", str(place)))
    except AnalyzerError:
        return False


_TOP: Final = ("rev-parse", "--show-toplevel")


def _packages(venv: Path) -> Iterator[tuple[str, str]]:
    """Names of the packages in an environment, with their releases as far as their metadata is called after them."""
    for folder in (*venv.glob("lib/python*/site-packages"), *venv.glob("Lib/site-packages")):
        try:
            names = sorted(islice((entry.name for entry in folder.iterdir() if entry.name.isprintable()), _ENTRIES))
        except OSError:  # it is a file, or not to be read
            continue
        infos = (name.removesuffix(".dist-info").partition("-") for name in names if name.endswith(".dist-info"))
        releases = {name.lower().replace("-", "_"): one for name, _, one in infos if _RELEASE.fullmatch(one)}
        for name in names:
            plain = name.removesuffix(".py")
            if plain.isidentifier() and not plain.startswith("_"):
                yield plain, releases.get(plain.lower(), "")
