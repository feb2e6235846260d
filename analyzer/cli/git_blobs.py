"""Reads files of a git revision as the bytes that git keeps: no filter, hook, conversion or network of its config."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from threading import Timer
from typing import IO, Final

from analyzer.errors import AnalyzerError

# The repository may be a stranger's, and so is its config: nothing that it names is started or fetched.
_ENVIRONMENT: Final = {
    "GIT_ALLOW_PROTOCOL": "",  # `protocol.ext.allow` of the repository would win over `-c protocol.allow`
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_LITERAL_PATHSPECS": "1",
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_TERMINAL_PROMPT": "0",
    "LC_ALL": "C",
}
_OVERRIDES: Final = (
    "core.fsmonitor=false", f"core.hooksPath={os.devnull}", "core.alternateRefsCommand=", "protocol.allow=never",
    "safe.bareRepository=explicit",
)  # fmt: skip
_FILE, _LINK, _SUBMODULE = "100", "120000", "160000"
_LARGEST: Final = 512 << 20
_TOTAL: Final = 4 << 30
_ENTRIES: Final = 100_000
_TEXT: Final = 64 << 20
"""Bytes of what git says that is no file."""
_SECONDS: Final = 15
_COPYING: Final = 600


@dataclass(frozen=True, slots=True)
class Blob:
    """A file or a link of a revision."""

    path: PurePosixPath
    name: str
    size: int
    link: bool


def git(folder: Path, *args: str) -> str:
    """What git says, of a repository that is not trusted. Raises AnalyzerError with what it complains of."""
    with _started(folder, args) as said:
        data = said.read(_TEXT + 1)
        if len(data) > _TEXT:
            raise AnalyzerError(f"git {args[0]} says too much", hint=f"no more than {_ENTRIES} files")
        return os.fsdecode(data)


def extract(top: Path, commit: str, path: Path, root: Path) -> None:
    """Write the files that a commit has at a path below `root`; it may have none. Raises AnalyzerError for odd ones."""
    blobs = list(_listed(top, commit, path))
    _check_sizes(blobs)
    _check_places(blobs)
    links = []
    with _started(top, ["cat-file", "--batch"], "".join(f"{one.name}\n" for one in blobs), _COPYING) as said:
        for blob in blobs:
            _expect(said, blob)
            if blob.link:
                links.append((root / blob.path, _target(blob, os.fsdecode(said.read(blob.size)))))
            else:
                _copy(said, blob, root / blob.path)
            said.read(1)
    for place, target in links:  # last: nothing is written through one
        _link(place, target)


def _link(place: Path, target: str) -> None:
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(target)
    except (OSError, ValueError) as error:  # a name that is too long, or holds a NUL
        raise AnalyzerError(f"the link {place.name[:80]} cannot be made: {error}", hint="is it sound?") from error


def _listed(top: Path, commit: str, path: Path) -> Iterator[Blob]:
    """The files and links at a path; submodules are left out."""
    only = [] if path == Path() else ["--", path.as_posix()]
    for entry in filter(None, git(top, "ls-tree", "-r", "-z", "-l", "--full-tree", commit, *only).split("\0")):
        facts, _, name = entry.partition("\t")
        mode, _, oid, size = facts.split()
        if mode == _SUBMODULE:
            continue
        if not size.isdigit():
            raise AnalyzerError(f"{name} at {commit[:12]} is not in this clone", hint="git fetch it first")
        yield Blob(_checked(name, commit), oid, int(size), mode == _LINK)


def _checked(name: str, commit: str) -> PurePosixPath:
    """A path below a folder and in no repository of its own. Raises AnalyzerError for any other."""
    for part in name.split("/"):
        plain = part.rstrip(". ").casefold()  # as Windows reads it
        if not plain or plain in (".git", "git~1") or any(char in part for char in "\\:" if os.name == "nt"):
            raise AnalyzerError(f"{name!r} at {commit[:12]} is no path of a file", hint="the revision is not sound")
    return PurePosixPath(name)


def _check_sizes(blobs: Sequence[Blob]) -> None:
    if len(blobs) > _ENTRIES:
        raise AnalyzerError(f"the revision has {len(blobs)} files there", hint=f"no more than {_ENTRIES}")
    for blob in blobs:
        if blob.size > _LARGEST:
            hint = f"up to {_LARGEST >> 20} MiB are read from git: keep weights in git-lfs, or diff two folders"
            raise AnalyzerError(f"{blob.path} of the revision has {blob.size >> 20} MiB", hint=hint)
    if (total := sum(blob.size for blob in blobs)) > _TOTAL:
        raise AnalyzerError(f"the revision has {total >> 20} MiB there", hint=f"no more than {_TOTAL >> 20} MiB")


def _check_places(blobs: Sequence[Blob]) -> None:
    """Raises AnalyzerError for a tree that nobody can check out: a name twice, or below a file or a link."""
    places = {blob.path for blob in blobs}
    inside = next((blob for blob in blobs if not places.isdisjoint(blob.path.parents)), None)
    if inside is not None or len(places) != len(blobs):
        what = f"{inside.path} lies below a file" if inside is not None else "one name stands twice"
        raise AnalyzerError(f"in the revision {what}", hint="git fsck says what is broken")


def _target(blob: Blob, text: str) -> str:
    """Where a link leads. Raises AnalyzerError unless that is inside: only its first steps may lead up."""
    steps = text.split("/")
    up = next((number for number, step in enumerate(steps) if step != ".."), len(steps))
    if not text or text.startswith("/") or ".." in steps[up:] or up >= len(blob.path.parts) or "\\" in text:
        raise AnalyzerError(f"{blob.path} of the revision is a link to {text!r}", hint="no links out of it")
    return text


def _expect(said: IO[bytes], blob: Blob) -> None:
    if said.readline(256).split() != [blob.name.encode(), b"blob", str(blob.size).encode()]:
        raise AnalyzerError(f"git cannot read {blob.path} of the revision", hint="git fsck says what is broken")


def _copy(said: IO[bytes], blob: Blob, place: Path) -> None:
    left = blob.size
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        with place.open("xb") as file:
            while left and (data := said.read(min(left, 1 << 20))):
                left -= file.write(data)
    except OSError as error:
        raise AnalyzerError(f"{blob.path} of the revision cannot be written: {error}", hint="is it sound?") from error
    if left:
        raise AnalyzerError(f"git cannot read {blob.path} of the revision", hint="git fsck says what is broken")


@contextmanager
def _started(folder: Path, args: Sequence[str], given: str = "", seconds: int = _SECONDS) -> Iterator[IO[bytes]]:
    """What git says while it runs. Raises AnalyzerError if it cannot start, fails, or does not end."""
    options = [word for one in (*_OVERRIDES, *_owners()) for word in ("-c", one)]
    command = ["git", "--no-pager", *options, "-C", str(folder), *args]
    with tempfile.TemporaryFile() as asked, tempfile.TemporaryFile() as words:
        asked.write(given.encode())
        asked.seek(0)
        process = _process(command, asked, words, {**os.environ, **_ENVIRONMENT})
        assert process.stdout is not None
        late = Timer(seconds, process.kill)
        late.start()
        try:
            with process.stdout:
                yield process.stdout
            code = process.wait()
            timely = late.is_alive()
        finally:
            late.cancel()
            process.kill()
            process.wait()
        if not timely:
            raise AnalyzerError(f"git {args[0]} did not end in {seconds} s", hint="is the repository sound?")
        if code:
            words.seek(0)
            _complain(args, words.read(_TEXT).decode("utf-8", "replace"))


def _process(command: list[str], asked: IO[bytes], words: IO[bytes], given: dict[str, str]) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(command, stdin=asked, stdout=subprocess.PIPE, stderr=words, env=given)
    except OSError as error:
        raise AnalyzerError(f"git could not be started: {error}", hint="--rev needs git") from error


def _complain(args: Sequence[str], words: str) -> None:
    lines = [line for line in words.splitlines() if line.strip()] or ["unknown revision"]
    first = next((line for line in lines if line.startswith("fatal:")), lines[-1])
    hint = "is it a revision of this repository?"
    if "dubious ownership" in first:
        hint = "it belongs to somebody else: git config --global --add safe.directory FOLDER, if you trust it"
    raise AnalyzerError(f"git {args[0]} {args[-1]}: {first}", hint=hint)


def _owners() -> Iterator[str]:
    """The person's own `safe.directory`: their config is not read otherwise."""
    for scope in ("--system", "--global"):
        command = ["git", "config", scope, "-z", "--get-all", "safe.directory"]
        try:
            done = subprocess.run(
                command, stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=_SECONDS, cwd=os.sep
            )
        except (OSError, subprocess.TimeoutExpired):
            return  # what is asked of it in earnest says so
        yield from (f"safe.directory={os.fsdecode(one)}" for one in done.stdout.split(b"\0") if one)
