"""Turns what a person gives as a model, a path or a hub id, into the folder or file that it means."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from analyzer.errors import AnalyzerError
from analyzer.foreign.files import is_folder
from analyzer.foreign.hub_cache import HubId, cached, caches, read_id, repository_of, snapshot
from analyzer.foreign.other_formats import told_of_file

FILES: Final = (".pt2", ".py")
"""Suffixes of files that are a model themselves."""
_MARKERS: Final = ("config.json", "model_index.json", "modules.json", "adapter_config.json")


def located(given: Path, environ: Mapping[str, str] = os.environ) -> Path:
    """The folder or file of a model: a path that is there, else the snapshot of a hub id in the local cache.

    Of a repository's folder in a cache, the snapshot of its main. Raises AnalyzerError, with the command that brings
    what is missing, where nothing is there.
    """
    if os.path.exists(given):  # noqa: PTH110 (Path.exists raises for a name that is too long)
        return _of_path(given)
    text = given.as_posix()
    wanted = read_id(text)
    if wanted is None:
        raise AnalyzerError(f"no such folder: {given}", hint="models are read from disk, never fetched")
    if (found := cached(wanted, environ)) is not None:
        return _whole(found, wanted)
    if "/" not in wanted.name:
        hint = "give a folder on disk, or a hub id such as ORG/NAME that is in the Hugging Face cache"
        raise AnalyzerError(f"no such folder: {given}", hint=hint)
    where = caches(environ)[0]
    said = f"no such folder: {given}, nor is it in the Hugging Face cache, {where}"
    raise AnalyzerError(said, hint=wanted.download())


def _of_path(given: Path) -> Path:
    if not is_folder(given):
        if given.suffix in FILES:
            return given
        hint = f"give the folder that holds it, or a file {' or '.join(f'*{one}' for one in FILES)}"
        raise told_of_file(given) or AnalyzerError(f"{given} is a file, not a model folder", hint=hint)
    place = given.parent if given.name == "snapshots" else given
    wanted = read_id(place.absolute().name) if place.absolute().name.startswith("models--") else None
    if wanted is None or not is_folder(place / "snapshots"):
        return given
    if (found := snapshot(place)) is None:
        raise AnalyzerError(f"{place} holds no snapshot of {wanted.name}", hint=wanted.download())
    return _whole(found, wanted)


def _whole(found: Path, wanted: HubId) -> Path:
    """A snapshot, unless what tells the model is missing in it: then the command that brings it."""
    if any((found / name).is_file() for name in _MARKERS):
        return found
    pinned = repository_of(found)
    ask = wanted if wanted.revision else HubId(wanted.name, pinned.revision if pinned else "")
    raise AnalyzerError(f"{found} has no config.json: the cache has a part of {wanted.name} only", hint=ask.download())
