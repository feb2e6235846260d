"""Git revisions of a model: extracted into a temporary folder; the checkout is never touched."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from analyzer.cli.git_blobs import extract, git
from analyzer.errors import AnalyzerError
from analyzer.worker.protocol import TraceRequest
from analyzer.worker.scratch import scratch_folder


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
    top = _top(model if model.is_dir() else model.parent)
    commit = git(top, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}").strip()
    files = [request.model, *request.recipes, *filter(None, (request.plan_file, request.inputs, request.adapter))]
    inside = [path for path in (Path(file).resolve() for file in files) if path.is_relative_to(top)]
    with scratch_folder() as root:
        for path in dict.fromkeys(path.relative_to(top) for path in inside):
            extract(top, commit, path, root)

        def then(file: str) -> str:
            whole = Path(file).resolve()
            moved = root / whole.relative_to(top) if whole.is_relative_to(top) else whole
            return str(moved) if moved.exists() else file

        moved = root / model.relative_to(top)
        if not moved.exists():
            raise AnalyzerError(f"revision {revision} has no {request.model}", hint="compare revisions that have it")
        adapter = {"adapter": then(request.adapter)} if request.adapter else {}
        changed = replace(
            request,
            model=str(moved),
            recipes=tuple(map(then, request.recipes)),
            plan_file=then(request.plan_file) if request.plan_file else None,
            inputs=then(request.inputs) if request.inputs else None,
            flags={**request.flags, **adapter},
        )
        try:
            yield changed
        except AnalyzerError as error:  # a person knows the revision, not the copy of it
            told = [words.replace(str(root), f"{top} at {revision}") for words in (error.message, error.hint)]
            raise AnalyzerError(told[0], hint=told[1]) from error


def _top(folder: Path) -> Path:
    """The top of the repository that holds a folder: where its `.git` lies, whatever its config says.

    A clone of a published model is a model folder with a `.git`, and is read like any other. Raises AnalyzerError where
    git disagrees: the folder, or one in it, would be a repository that says where its files lie.
    """
    said = Path(git(folder, "rev-parse", "--show-toplevel").rstrip("\n")).resolve()
    found = next((place for place in (folder, *folder.parents) if (place / ".git").exists()), None)
    if said != found:
        hint = "its repository is the folder with .git: not one inside the model, nor one with core.worktree elsewhere"
        raise AnalyzerError(f"{folder} is not a plain git checkout: git says it belongs to {said}", hint=hint)
    return said
