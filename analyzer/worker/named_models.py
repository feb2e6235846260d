"""Lends a worker the config and code of other models that a model names, as a small Hugging Face cache of its own."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path
from shutil import copyfile
from typing import Final

from analyzer.errors import AnalyzerError
from analyzer.foreign import is_file, is_folder, parse_json, read_small
from analyzer.foreign.hub_cache import LENT, HubId, cached, caches, read_id, refs
from analyzer.foreign.links import is_own
from analyzer.plans.adapter_bases import candidates, in_reach
from analyzer.worker.confinement import is_too_wide
from analyzer.worker.protocol import Lent, TraceRequest
from analyzer.worker.readable import bases, small_text

_QUOTED: Final = re.compile(r"""["']((?:[\w.-]+/)?[\w.-]+?|\.{0,2}/[^"'\n]{1,400})(?:--[\w.]+)?["']""", re.ASCII)
"""A text that may name a repository, also one that has a class, `owner/name--module.Class`; or a folder by its path."""
_ENTRIES: Final = 5000
"""Files below a folder that are looked at."""
_FILES: Final = 100
"""Files of one repository that are lent, or read for names."""
_REPOSITORIES: Final = 16
"""Repositories that are lent; a model with many towers names five."""
_NAMES: Final = 20_000
"""Texts of one folder, and of what it names in turn, that are looked up: each takes a fifth of a millisecond."""
_CONFIG: Final = 64 << 10
"""Bytes of a config; the largest real ones, with 20,000 labels, name nothing after these."""
_LARGEST: Final = 64 << 20
"""Bytes of a file that is lent: the largest vocabulary has 35 MB."""
_BESIDE: Final = "0" * 40
"""The commit that a folder has which lies beside the model."""
HUB: Final = Path("huggingface", "hub")
"""The cache, in the scratch folder: HF_HOME of a worker is there."""


def named_models(requests: Iterable[TraceRequest]) -> tuple[Lent, ...]:
    """The repositories that models name, and that lie in the local cache or beside them.

    A model is a stranger's, and so is what its code does with what it reads. So a name counts where it is written out
    in the model's own config or code, and opens config, code and tokenizer; weights stay closed. The base of an
    adapter alone is opened whole: it is the model.
    """
    found: dict[str, Lent] = {}
    for model in (Path(request.model) for request in requests):
        for name, base in bases(model):
            if (wanted := read_id(name)) is not None:
                found.setdefault(wanted.name, Lent(wanted.name, base.name, (), (("", str(base.resolve())),)))
        for folder in (model, *(base for _, base in bases(model))):
            for lent in _named_by(folder):
                found.setdefault(lent.name or str(lent.files), lent)
    return tuple(found.values())


def put(scratch: Path, lent: Iterable[Lent]) -> None:
    """Make the cache in a scratch folder: links to what is lent, in the layout of a Hugging Face cache."""
    for one in (one for one in lent if one.name):
        place = scratch / HUB / HubId(one.name).folder
        for ref in dict.fromkeys(("main", *one.refs)):
            (place / "refs" / ref).parent.mkdir(parents=True, exist_ok=True)
            (place / "refs" / ref).write_text(one.commit, encoding="utf-8")
        for name, real in one.files:
            link = place / "snapshots" / one.commit / name
            link.parent.mkdir(parents=True, exist_ok=True)
            if not link.exists():
                _link(link, Path(real))


def _link(link: Path, real: Path) -> None:
    """A link; on Windows, where most people may make none, a copy of a file."""
    try:
        link.symlink_to(real)
    except OSError:
        if real.is_file():
            copyfile(real, link)


def _named_by(model: Path) -> Iterator[Lent]:
    """What a model names, and what that names in turn."""
    root = model if is_folder(model) else model.parent
    seen: set[str] = set()
    found = 0
    there = _cached_names()
    texts = [small_text(file) for file in _sources(model)]
    while texts and found < _REPOSITORIES:
        for name in _names(texts.pop(0)):
            if name in seen or found >= _REPOSITORIES or len(seen) >= _NAMES:
                continue
            seen.add(name)
            if (lent := _lent(root, name, there)) is None:
                continue
            found += 1
            yield lent
            texts += [
                small_text(Path(real)) for short, real in lent.files if short.endswith(".py") or short == "config.json"
            ]


def _sources(model: Path) -> Iterator[Path]:
    """The files in which names count: settings and code of a folder; of a Python file, the code beside it."""
    if not is_folder(model):
        beside = sorted(islice(model.parent.glob("*.py"), _FILES)) if model.suffix == ".py" else []
        yield from beside if model in beside else [model, *beside][: len(beside) + 1]
        return
    yield from islice((file for file in _files(model) if _may_name(file)), _FILES)


def _may_name(file: Path) -> bool:
    """Whether a file is code or a config; a vocabulary is neither."""
    return file.suffix == ".py" or (file.suffix == ".json" and file.stat().st_size <= _CONFIG)


def _names(text: str) -> Iterator[str]:
    """Texts that may name a repository, each once."""
    return iter(dict.fromkeys(found[1] for found in _QUOTED.finditer(text)))


def _cached_names() -> frozenset[str]:
    """The names of the folders of all repositories in the local caches."""
    found: set[str] = set()
    for cache in caches(os.environ):
        with suppress(OSError):  # it is not there, or not to be read
            found.update(one.name for one in cache.iterdir())
    return frozenset(found)


def _lent(root: Path, name: str, there: frozenset[str]) -> Lent | None:
    """What is lent of the repository of this name; a folder beside the model comes before the cache."""
    if name.startswith((".", "/")):
        folder = next(_near(root, [Path(name)]), None)
        return Lent("", "", (), _small(folder)) if folder is not None else None
    wanted = read_id(name)
    if wanted is None or wanted.revision:
        return None
    if "/" in name and (near := next(_near(root, candidates(root, name)), None)) is not None:
        return Lent(name, _BESIDE, (), _small(near))
    try:
        place = cached(wanted) if wanted.folder in there else None
    except AnalyzerError:
        return None
    if place is None:
        return None
    known = refs(place.parents[1])
    own = tuple(ref for ref, commit in known.items() if commit == place.name)
    return Lent(name, place.name, own, _small(place))


def _near(root: Path, places: Iterable[Path]) -> Iterator[Path]:
    """Folders of models among these that a model may name, as an adapter may name its base."""
    for place in places:
        reached = is_folder(place) and in_reach(root, place) and not is_too_wide(place)
        if reached and (place / "config.json").is_file() and place.resolve() != root.resolve():
            yield place


def _small(folder: Path) -> tuple[tuple[str, str], ...]:
    """Name and real place of each file of a repository that is lent."""
    real = os.path.realpath
    there = (file for file in _files(folder) if file.suffix in LENT and _is_plain(file))
    return tuple((file.relative_to(folder).as_posix(), real(file)) for file in islice(there, _FILES))


def _files(folder: Path) -> Iterator[Path]:
    """The files of a folder and of those in it that are its own, or its cache's, and not large."""
    for file in islice(_walked(folder), _ENTRIES):
        if is_file(file) and is_own(file, folder) and file.stat().st_size <= _LARGEST:
            yield file


def _walked(folder: Path) -> Iterator[Path]:
    for top, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith(".")) if Path(top) == folder else []
        yield from (Path(top, name) for name in sorted(names))


def _is_plain(file: Path) -> bool:
    """Whether a config holds plain data alone, as of a model itself; of other files nothing is asked."""
    if file.name != "config.json":
        return True
    try:
        return isinstance(parse_json(read_small(file), file), dict)
    except AnalyzerError:
        return False
