"""The archive of a saved program, member by member: those that torch writes are copied, and no other is."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from analyzer.errors import AnalyzerError
from analyzer.foreign import opened
from analyzer.loaders.exported.program_text import checked_json
from analyzer.loaders.exported.refused import Refused, short

_JSON: Final = re.compile(
    r"models/model\.json|serialized_exported_program\.json"
    r"|data/(weights/model_weights_config|constants/model_constants_config)\.json"
)
_DATA: Final = re.compile(
    r"data/weights/(weight_\d+|model\.pt)|data/constants/(tensor_\d+|model\.pt)|data/sample_inputs/model\.pt"
    r"|serialized_(state_dict|constants|example_inputs)\.(pt|json)"
)
"""Raw tensors, and tensors that `torch.load(weights_only=True)` reads."""
_SMALL: Final = re.compile(r"archive_format|archive_version|byteorder|version|\.data/version")
_LEFT_OUT: Final = re.compile(r"\.data/serialization_id|extra(_files)?/.*|\.format_version|\.storage_alignment")
_PROGRAM: Final = ("models/model.json", "serialized_exported_program.json")
_ROOT: Final = "archive"
_MOST: Final = 1 << 18
"""Members of an archive."""
_LONGEST: Final = 256 << 20
"""Bytes of JSON; the graph of a large model has 20 MB."""
_SHORT: Final = 64
"""Bytes of the members that tell a version."""
_TRUST: Final = "where you trust the file, pass --trust-remote-code"


def checked(path: Path) -> io.BytesIO:
    """The program in a file as an archive of our own making, for `torch.export.load`.

    Raises AnalyzerError for what is no such archive, and for one that holds more than operators, tensors and sizes.
    """
    try:
        with opened(path) as file, zipfile.ZipFile(file) as archive:
            return _rebuilt(dict(_members(archive)), archive)
    except Refused as error:
        raise AnalyzerError(f"{path} holds {error}, and is not opened without trust", hint=_TRUST) from error
    except (OSError, zipfile.BadZipFile, ValueError, KeyError, TypeError, RecursionError, EOFError,
            NotImplementedError, RuntimeError, OverflowError) as error:  # fmt: skip
        said = (str(error).splitlines() or [""])[0]
        hint = "is it a whole file that torch.export.save wrote?"
        raise AnalyzerError(f"cannot load {path}: {type(error).__name__}: {said}", hint=hint) from error


def _members(archive: zipfile.ZipFile) -> Iterator[tuple[str, zipfile.ZipInfo]]:
    """Every member by its name below the archive's own folder."""
    infos = archive.infolist()
    if len(infos) > _MOST:
        raise Refused(f"{len(infos):,} members")
    if len({info.filename for info in infos}) != len(infos):
        raise Refused("two members of one name")
    whole = archive.fp.seek(0, io.SEEK_END) if archive.fp else 0
    if sum(info.file_size for info in infos) > whole or any(info.compress_type for info in infos):
        raise Refused("packed members")  # torch stores them as they are
    flat = any(info.filename in _PROGRAM for info in infos)
    for info in infos:
        yield info.filename if flat else info.filename.partition("/")[2], info


def _rebuilt(members: dict[str, zipfile.ZipInfo], archive: zipfile.ZipFile) -> io.BytesIO:
    made = io.BytesIO()
    if not any(name in members for name in _PROGRAM):
        raise ValueError("it holds no program called model")
    prefix = f"{_ROOT}/" if _PROGRAM[0] in members else ""
    with zipfile.ZipFile(made, "w") as written:
        for name, info in members.items():
            if _LEFT_OUT.fullmatch(name):
                continue
            written.writestr(f"{prefix}{name}", _content(name, info, archive))
    made.seek(0)
    return made


def _content(name: str, info: zipfile.ZipInfo, archive: zipfile.ZipFile) -> bytes:
    if _JSON.fullmatch(name) and info.file_size <= _LONGEST:
        return checked_json(archive.read(info))
    if _DATA.fullmatch(name) or (_SMALL.fullmatch(name) and info.file_size <= _SHORT):
        return archive.read(info)
    raise Refused(f"the member {short(name)!r}")
