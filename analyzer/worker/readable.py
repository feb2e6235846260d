"""Which folders and files a request lets a worker read."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Final

from analyzer.errors import AnalyzerError
from analyzer.foreign import is_file, is_folder, read_small
from analyzer.foreign.hub_cache import cached, read_id
from analyzer.foreign.links import lies_in
from analyzer.plans.adapter_bases import candidates, in_reach
from analyzer.worker.confinement import is_too_wide, model_paths, source_paths
from analyzer.worker.protocol import TraceRequest

_SMALL: Final = 1 << 20
"""Bytes of a file that is looked at for names of others: a recipe, an adapter's settings, a model's config or code."""
_BETWEEN: Final = re.compile(r"[^\w./\\~-]+")
"""What stands between names of files in a text."""
_NAMES: Final = 1000
"""Names of other files that are looked at; a recipe has two or three."""
_LONGEST: Final = 4096
_SETTINGS: Final = (".json", ".yaml", ".yml")


def readable(requests: Iterable[TraceRequest]) -> tuple[str, ...]:
    """What the requests name, and what it names in turn: an adapter its base, a recipe other set-up files."""
    found = [str(path) for request in requests for path in _paths(request)]
    return tuple(dict.fromkeys(found))


def _paths(request: TraceRequest) -> Iterator[Path | str]:
    for folder in (request.model, *filter(None, (request.adapter,))):
        yield from model_paths(Path(folder))
        yield from (one for _, base in bases(Path(folder)) for one in model_paths(base))
    for name in (request.inputs, *request.runs):
        yield from source_paths(Path(name)) if name else ()  # it may import what lies beside it
    for name in (*request.recipes, request.plan_file):
        yield from _recipe(Path(name).absolute()) if name else []


def _recipe(file: Path) -> Iterator[Path]:
    """A set-up file, and the set-up files that it names, below its folder or the working directory."""
    yield file
    for name in _named(small_text(file)):
        for place in (file.parent / name, Path.cwd() / name):
            if is_file(place) and any(lies_in(place, top) for top in (file.parent, Path.cwd())):
                yield place


def _named(text: str) -> Iterator[str]:
    """Words of a text that may name a set-up file, each once."""
    words = (word for word in _BETWEEN.split(text) if len(word) < _LONGEST and word.endswith(_SETTINGS))
    return islice(dict.fromkeys(words), _NAMES)


def bases(folder: Path) -> Iterator[tuple[str, Path]]:
    """Folders of a model that an adapter may mean by the name of its base, with that name."""
    try:
        name = json.loads(small_text(folder / "adapter_config.json")).get("base_model_name_or_path")
    except (ValueError, AttributeError, RecursionError):
        return
    for place in (*candidates(folder, name), *_cached(name)) if isinstance(name, str) and name else ():
        reached = is_folder(place) and in_reach(folder, place) and not is_too_wide(place)
        if reached and (place / "config.json").is_file():
            yield name, place


def _cached(name: str) -> Iterator[Path]:
    wanted = read_id(name)
    with suppress(AnalyzerError):
        if wanted is not None and (place := cached(wanted)) is not None:
            yield place


def small_text(file: Path) -> str:
    """What is looked at of a file; of what is no small file nothing, for the worker says what is wrong with it."""
    try:
        return read_small(file, _SMALL).decode("utf-8", "replace")
    except AnalyzerError:
        return ""
