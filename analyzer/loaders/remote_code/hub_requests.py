"""Tells what a model's code asked a hub for that is not in the local cache, and the command that brings it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from traceback import walk_tb
from typing import Final

from analyzer.errors import AnalyzerError
from analyzer.foreign.hub_cache import LENT, HubId, cached, read_id

_UNFETCHED: Final = frozenset({
    "LocalEntryNotFoundError", "OfflineModeIsEnabled", "EntryNotFoundError", "RepositoryNotFoundError",
    "HFValidationError", "RemoteEntryNotFoundError", "RevisionNotFoundError",
    "ConnectionError", "ConnectError", "URLError", "HubHTTPError",
})  # fmt: skip
"""Names of the errors of libraries that would have fetched something."""
_ASKED: Final = ("repo_id", "path_or_repo_id", "pretrained_model_name_or_path", "url", "repo_or_dir")
"""What the functions of these libraries call that which they fetch."""
_FILE: Final = ("filename", "weights_name")
_IN_LOADING: Final = "weights are never read: let the constructor make the modules, and leave the file to loading"
_WEIGHTS: Final = (".safetensors", ".bin", ".pt", ".pth", ".ckpt")


def missing_model(error: BaseException, where: str, root: str) -> AnalyzerError | None:
    """The error for a request of the line `where` below `root` that nobody answered; None for any other error."""
    if not is_missing(error):
        return None
    found = [_asked(one, root) for one in _chain(error)]
    name, file = max(found, key=lambda one: (bool(one[0]), bool(one[1])))
    wanted = read_id(name)
    if wanted is None and name.startswith((".", "/")):
        return AnalyzerError(
            f"{where}: the code loads {name}, which is not there or not to be read",
            hint="put that model's folder beside this one, and let the code or config.json name its path or its hub id",
        )
    if wanted is None:
        thing = f"'{name}'" if name else "something"
        return AnalyzerError(
            f"{where}: the code fetches {thing}, and nothing is fetched", hint="let it name a file or a folder on disk"
        )
    return _named(wanted, file, where)


def is_missing(error: BaseException) -> bool:
    """Whether an error says that something is not there which would have been fetched."""
    return any(_is_unfetched(one) for one in _chain(error))


def _named(wanted: HubId, file: str, where: str) -> AnalyzerError:
    if file.endswith(_WEIGHTS) or (_is_cached(wanted) and not file.endswith(LENT)):
        kind = "weights " if file.endswith(_WEIGHTS) else ""
        what = f"{where}: the code reads {kind}{file or 'more than the config'} of {wanted.name}, which is not opened"
        return AnalyzerError(what, hint=_IN_LOADING if kind or not file else f"put {file} into the model's folder")
    if _is_cached(wanted):
        return AnalyzerError(
            f"{where}: the code reads {file} of {wanted.name}, which the Hugging Face cache lacks",
            hint=wanted.download(file),
        )
    what = f"{where}: the code loads {wanted.name}, which is not in the Hugging Face cache"
    beside = f"or put its folder beside the model, as {Path(wanted.name).name}"
    return AnalyzerError(what, hint=f"{wanted.download()}; {beside}" if "/" in wanted.name else wanted.download())


def _is_cached(wanted: HubId) -> bool:
    """Whether there is a config of it, so that something else is missing."""
    try:
        place = cached(wanted)
    except AnalyzerError:
        return True
    return place is not None and (place / "config.json").is_file()


def _is_unfetched(error: BaseException) -> bool:
    names = {cls.__name__ for cls in type(error).__mro__}
    told = isinstance(error, OSError) and ("huggingface.co" in str(error) or "offline" in str(error))
    return bool(names & _UNFETCHED) or told


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The error and what led to it."""
    seen: set[int] = set()
    one: BaseException | None = error
    while one is not None and id(one) not in seen:
        seen.add(id(one))
        yield one
        one = one.__cause__ or one.__context__


def _asked(error: BaseException, root: str) -> tuple[str, str]:
    """The name and file that the innermost line below `root` asked functions of libraries for."""
    name, file = "", ""
    for frame, _ in walk_tb(error.__traceback__):
        if frame.f_code.co_filename.startswith(root):
            name, file = "", ""
            continue
        given = frame.f_locals
        name = name or next((one for key in _ASKED if isinstance(one := given.get(key), str)), "")
        file = file or next((one for key in _FILE if isinstance(one := given.get(key), str)), "")
    return name, file
