"""Looks at a model's folder before any library does: what they would open are regular files with plain data."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from analyzer.errors import AnalyzerError
from analyzer.foreign.data import parse_json
from analyzer.foreign.files import read_small
from analyzer.foreign.lfs_pointers import is_pointer_file, pointer_error
from analyzer.foreign.links import blobs_of, may_be_read

SETTINGS: Final = frozenset({
    "config.json", "generation_config.json", "adapter_config.json", "model_index.json", "modules.json",
    "scheduler_config.json", "preprocessor_config.json", "video_preprocessor_config.json", "processor_config.json",
    "image_processor_config.json", "feature_extractor_config.json", "tokenizer_config.json", "special_tokens_map.json",
    "sentence_bert_config.json", "config_sentence_transformers.json", "hf_quant_config.json",
})  # fmt: skip
"""What the libraries read by themselves, whole, while a model is built."""
_OPTIONAL: Final = "generation_config.json"
_OPENED: Final = (".json", ".txt", ".model", ".py", ".jinja", ".tiktoken", ".safetensors", ".bin", ".pt", ".pth")
"""Suffixes of files that a library may open."""
_LARGE: Final = (".safetensors", ".bin", ".pt", ".pth")
"""Those of which the headers are read, whatever their size."""
_LARGEST: Final = 256 << 20
"""Bytes of any other: the largest vocabulary has 35 MB."""
_DEEPEST: Final = 4
"""Levels of folders: a pipeline has two."""
_ENTRIES: Final = 100_000
"""Entries that are looked at, as the confinement does."""


def check_folder(root: Path) -> None:
    """Raises AnalyzerError for a device, a pipe or a giant where a file belongs, and for odd settings."""
    real, blobs = root.resolve(), blobs_of(root.absolute(), root.resolve())
    for number, entry in enumerate(_entries(root, _DEEPEST)):
        if number > _ENTRIES:
            raise AnalyzerError(f"{root} has more than {_ENTRIES:,} entries", hint="give the folder of one model")
        file = Path(entry.path)
        _check_file(file)
        if entry.is_symlink() and not entry.name.endswith(_LARGE):
            _check_link(file, real, blobs)
        if entry.name in SETTINGS and file.exists() and not is_passed_over(file):
            found = parse_json(read_small(file), file)
            if entry.name == _OPTIONAL and not isinstance(found, dict):
                raise AnalyzerError(f"{file} holds no object", hint="from_pretrained stops there: correct or remove it")
        elif entry.name.endswith(".py") and is_pointer_file(file):
            raise pointer_error(file)


def is_passed_over(file: Path) -> bool:
    """Whether a settings file is one that `from_pretrained` goes on without where it is no JSON."""
    if file.name != _OPTIONAL or not file.is_file():
        return False
    try:
        json.loads(read_small(file))
    except (json.JSONDecodeError, UnicodeDecodeError):
        return True
    except RecursionError:
        return False
    return False


def _entries(folder: Path, depth: int) -> Iterator[os.DirEntry[str]]:
    """What libraries may open below a folder; links to folders and hidden folders are left alone."""
    try:
        with os.scandir(folder) as found:
            entries = sorted(found, key=lambda entry: entry.name)
    except OSError as error:
        raise AnalyzerError(f"{folder} cannot be read: {error.strerror}", hint="is it yours to read?") from error
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            if depth and not entry.name.startswith((".", "__")):
                yield from _entries(Path(entry.path), depth - 1)
        elif entry.name.endswith(_OPENED):
            yield entry


def _check_link(file: Path, folder: Path, blobs: Path | None) -> None:
    """Raises AnalyzerError for a link to a file out of the folder that a library would open."""
    target = Path(os.path.realpath(file))  # which also takes a link that leads to itself
    if target.is_relative_to(folder) or may_be_read(target, folder, blobs) or not target.is_file():
        return
    if file.name in SETTINGS or file.suffix == ".py":
        hint = "a link may not lead out of the model folder: put a copy into it"
        raise AnalyzerError(f"{file} is a link to {target}", hint=hint)


def _check_file(file: Path) -> None:
    try:
        found = file.stat()
    except OSError:
        return  # a link to nowhere, or out of the folder: it is no file for anybody
    if stat.S_ISDIR(found.st_mode):
        return
    if not stat.S_ISREG(found.st_mode):
        raise AnalyzerError(f"{file} is no regular file", hint="not a device or a pipe")
    if found.st_size > _LARGEST and not file.name.endswith(_LARGE):
        raise AnalyzerError(f"{file} is too large to be read", hint=f"no more than {_LARGEST >> 20} MiB")
