"""Git revisions of a model: extracted into a temporary folder; the checkout is never touched."""

from __future__ import annotations

import io
import os
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from analyzer.errors import AnalyzerError
from analyzer.worker.protocol import TraceRequest


def ends(text: str) -> tuple[str, str]:
    """The two revisions of `main..HEAD`; one alone is compared with HEAD. Raises AnalyzerError for an odd text.

    >>> ends("main..HEAD"), ends("v1")
    (('main', 'HEAD'), ('v1', 'HEAD'))
    """
    before, dots, after = text.partition("..")
    if not before or after.startswith(".") or text.startswith("-"):
        raise AnalyzerError(f"'{text}' is no pair of revisions", hint="such as --rev main..HEAD")
    return before, (after if dots and after else "HEAD")


@contextmanager
def at_revision(request: TraceRequest, revision: str) -> Iterator[TraceRequest]:
    """A request as it was in a revision: the model, and recipe, plan, inputs and adapter where git has them.

    Raises AnalyzerError where git does not know the folder, the revision, or the model in it.
    """
    model = Path(request.model).resolve()
    top = Path(_git(model if model.is_dir() else model.parent, "rev-parse", "--show-toplevel").strip()).resolve()
    commit = _git(top, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}").strip()
    files = [request.model, *request.recipes, *filter(None, (request.plan_file, request.inputs, request.adapter))]
    inside = [path for path in (Path(file).resolve() for file in files) if path.is_relative_to(top)]
    with tempfile.TemporaryDirectory(prefix="analyze-") as made:
        root = Path(made).resolve()
        for path in dict.fromkeys(path.relative_to(top) for path in inside):
            _extract(top, commit, path, root)

        def then(file: str) -> str:
            whole = Path(file).resolve()
            moved = root / whole.relative_to(top) if whole.is_relative_to(top) else whole
            return str(moved) if moved.exists() else file

        moved = root / model.relative_to(top)
        if not moved.exists():
            raise AnalyzerError(f"revision {revision} has no {request.model}", hint="compare revisions that have it")
        yield replace(
            request,
            model=str(moved),
            recipes=tuple(map(then, request.recipes)),
            plan_file=then(request.plan_file) if request.plan_file else None,
            inputs=then(request.inputs) if request.inputs else None,
            flags={**request.flags, **({"adapter": then(request.adapter)} if request.adapter else {})},
        )


def _extract(top: Path, commit: str, path: Path, root: Path) -> None:
    tree = "." if path == Path() else path.as_posix()
    if tree != "." and not _git(top, "ls-tree", "--name-only", commit, "--", tree):
        return  # it was not there yet
    data = _run(top, ["archive", "--format=tar", commit, "--", tree])
    try:
        with tarfile.open(fileobj=io.BytesIO(data)) as archive:
            archive.extraction_filter = getattr(tarfile, "data_filter", None)  # Python 3.10.12, 3.11.4 and later
            archive.extractall(root)
    except tarfile.TarError as error:
        raise AnalyzerError(
            f"{path} at {commit[:12]} cannot be extracted: {error}", hint="no links out of it"
        ) from error


def _git(folder: Path, *args: str) -> str:
    return _run(folder, args).decode("utf-8", "replace")


def _run(folder: Path, args: Sequence[str]) -> bytes:
    quiet = {**os.environ, "GIT_LFS_SKIP_SMUDGE": "1", "GIT_TERMINAL_PROMPT": "0"}  # weights are not read
    try:
        done = subprocess.run(["git", "-C", str(folder), *args], capture_output=True, check=False, env=quiet)
    except OSError as error:
        raise AnalyzerError(f"git could not be started: {error}", hint="--rev needs git") from error
    if done.returncode:
        words = done.stderr.decode("utf-8", "replace").strip().splitlines() or ["unknown revision"]
        raise AnalyzerError(f"git {args[0]} {args[-1]}: {words[-1]}", hint="is it a revision of this repository?")
    return done.stdout
