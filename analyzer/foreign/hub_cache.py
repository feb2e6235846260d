"""Finds models in the local Hugging Face cache by their hub ids, and says how to get one that is not there."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from analyzer.errors import AnalyzerError
from analyzer.foreign.files import is_folder, read_small

_ID: Final = re.compile(r"(?P<name>\w[\w.-]*(?:/\w[\w.-]*)?)(?:@(?P<revision>\w[\w.-]*(?:/[\w.-]+)*))?", re.ASCII)
_LINK: Final = re.compile(r"(?:https?:/+(?:www\.)?(?:huggingface\.co|hf\.co)|hf:/+)/?(?:models/)?(?P<rest>.+)")
"""An address of the hub, whose `//` may have become `/` on its way through a path."""
_LONGEST: Final = 96
"""Characters of an id, as the hub has it."""
_COMMIT: Final = re.compile(r"\w[\w.-]*", re.ASCII)
_PREFIX: Final = "models--"
_CACHED: Final = re.compile(rf"/{_PREFIX}(?P<name>[^/]+)/snapshots/[^/]+/(?P<file>.+)")
_SHORTEST: Final = 4
"""Characters by which a commit may be named."""
_SMALL_FILES: Final = ("*.json", "*.py", "*.txt", "*.model")
"""Config, code and tokenizer; no weights."""
LENT: Final = (".json", ".py", ".txt", ".model", ".jinja", ".tiktoken")
"""Suffixes of the files of other models that a model's code may read: config, code and tokenizer. Weights are none."""
_RENAMED: Final = (0, 34)
"""The release of huggingface_hub from which `huggingface-cli` is `hf`."""


@dataclass(frozen=True, slots=True)
class HubId:
    """A repository on the hub; `revision` is a branch, a tag or a commit, "" for main."""

    name: str
    revision: str = ""

    @property
    def folder(self) -> str:
        """Its folder in a cache.

        >>> HubId("openbmb/MiniCPM-V-2").folder
        'models--openbmb--MiniCPM-V-2'
        """
        return _PREFIX + self.name.replace("/", "--")

    def download(self, *files: str) -> str:
        """The command that downloads its config and code without weights, or certain files of it.

        Names that stand alone are patterns for every release of the command; what follows `--include` is one pattern
        for some, and a list of them for others.
        """
        wanted = " ".join(map(_quoted, files or _SMALL_FILES))
        revision = f" --revision {self.revision}" if self.revision else ""
        return f"{_command()} download {self.name} {wanted}{revision}"


def _quoted(file: str) -> str:
    """A name or pattern as a shell takes it, which a stranger may have chosen."""
    if sys.platform == "win32":
        return subprocess.list2cmdline([file]) if '"' in file else f'"{file}"'
    return shlex.quote(file) if "'" in file else f"'{file}'"


def _command() -> str:
    from importlib import metadata  # not for what only asks where a cache lies: it brings sockets along

    try:
        release = metadata.version("huggingface_hub").split(".")
        return "hf" if tuple(map(int, release[:2])) >= _RENAMED else "huggingface-cli"
    except (metadata.PackageNotFoundError, ValueError):
        return "hf"


def read_id(text: str) -> HubId | None:
    """The hub id that a text is, also as an address, or as the name of a folder of the cache; None if it is none.

    >>> read_id("openbmb/MiniCPM-V-2@main"), read_id("https://huggingface.co/gpt2/tree/v1"), read_id("./gpt2")
    (HubId(name='openbmb/MiniCPM-V-2', revision='main'), HubId(name='gpt2', revision='v1'), None)
    """
    if link := _LINK.fullmatch(text):
        text = re.sub(r"/(?:tree|blob|resolve)/", "@", link["rest"].rstrip("/"))
    elif text.startswith(_PREFIX):
        text = text.removeprefix(_PREFIX).replace("--", "/", 1)
    found = _ID.fullmatch(text)
    if found is None or len(found["name"]) > _LONGEST or "--" in found["name"] or ".." in text:
        return None
    return HubId(found["name"], found["revision"] or "")


def caches(environ: Mapping[str, str]) -> tuple[Path, ...]:
    """The folders that hold cached repositories, as the libraries choose them from these variables."""
    home = environ.get("XDG_CACHE_HOME") or "~/.cache"
    hub = environ.get("HF_HUB_CACHE") or environ.get("HUGGINGFACE_HUB_CACHE")
    hub = hub or str(Path(environ.get("HF_HOME") or str(Path(home, "huggingface")), "hub"))
    chosen = (hub, environ.get("TRANSFORMERS_CACHE", ""))  # the last is that of transformers 4
    return tuple(dict.fromkeys(Path(os.path.expandvars(os.path.expanduser(one))) for one in chosen if one))  # noqa: PTH111


def cached(repository: HubId, environ: Mapping[str, str] = os.environ) -> Path | None:
    """The snapshot of a repository in the cache. Raises AnalyzerError where several may be meant."""
    for cache in caches(environ):
        if is_folder(place := cache / repository.folder) and (found := snapshot(place, repository.revision)):
            return found
    return None


def snapshot(place: Path, revision: str = "") -> Path | None:
    """The snapshot of a revision, "" for main, in a repository's folder of a cache; None where it is not there.

    Without a main, one snapshot alone is meant. Raises AnalyzerError where there are several.
    """
    commit = _commit(place, revision or "main") or revision
    if commit and _COMMIT.fullmatch(commit) and is_folder(place / "snapshots" / commit):
        return place / "snapshots" / commit
    there = commits(place)
    if revision:
        longer = [one for one in there if len(revision) >= _SHORTEST and one.startswith(revision)]
        return place / "snapshots" / longer[0] if len(longer) == 1 else None
    if len(there) > 1 and not _commit(place, "main"):
        name = place.name.removeprefix(_PREFIX).replace("--", "/", 1)
        raise AnalyzerError(
            f"{place} holds {len(there)} snapshots and no main: {', '.join(one[:8] for one in there[:4])}",
            hint=f"say which one: {name}@{there[0][:8]}",
        )
    return place / "snapshots" / there[0] if len(there) == 1 else None


def commits(place: Path) -> list[str]:
    """The commits of which a repository's folder of a cache has a snapshot, sorted."""
    try:
        there = [one for one in (place / "snapshots").iterdir() if _COMMIT.fullmatch(one.name)]
    except OSError:
        return []
    return sorted(one.name for one in there if is_folder(one))


def refs(place: Path) -> dict[str, str]:
    """Name of each branch and tag that a repository's folder of a cache knows -> its commit."""
    files = [file for file in sorted((place / "refs").rglob("*")) if file.is_file()][:100]
    names = [file.relative_to(place / "refs").as_posix() for file in files]
    return {name: commit for name in names if (commit := _commit(place, name))}


def repository_of(folder: Path) -> HubId | None:
    """The repository of which a folder is a snapshot in a cache, with its commit; None for any other folder."""
    for inner in (folder, *folder.parents):
        if inner.parent.name == "snapshots" and inner.parents[1].name.startswith(_PREFIX):
            found = read_id(inner.parents[1].name)
            return HubId(found.name, inner.name) if found and _COMMIT.fullmatch(inner.name) else None
    return None


def cached_name(file: str) -> str:
    """A file of a snapshot in a cache as `owner/name/file.py`; "" for any other.

    >>> cached_name("/c/models--org--code/snapshots/f00/deep/a.py"), cached_name("/c/a.py")
    ('org/code/deep/a.py', '')
    """
    found = _CACHED.search(file.replace(os.sep, "/"))
    return f"{found['name'].replace('--', '/', 1)}/{found['file']}" if found else ""


def _commit(place: Path, ref: str) -> str:
    if ".." in ref.split("/"):
        return ""
    try:
        found = read_small(place / "refs" / ref, 1024).decode("utf-8", "replace").strip()
    except AnalyzerError:
        return ""
    return found if _COMMIT.fullmatch(found) else ""
