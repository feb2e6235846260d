"""Reads how each tensor of a checkpoint is stored: names, dtypes and shapes, and keeps nothing of the data."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from math import prod
from pathlib import Path
from typing import Any, Final, TypeAlias

from analyzer.errors import AnalyzerError
from analyzer.foreign import opened, read_small
from analyzer.foreign.lfs_pointers import how_to_bring, is_pointer_file
from analyzer.ir.dtypes import DTYPES, is_float, width
from analyzer.ir.findings import Assumption

_NAMES: Final = {
    "F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16", "C64": "complex64",
    "I64": "int64", "I32": "int32", "I16": "int16", "I8": "int8", "BOOL": "bool",
    "U64": "uint64", "U32": "uint32", "U16": "uint16", "U8": "uint8",
    "F8_E4M3": "float8_e4m3fn", "F8_E5M2": "float8_e5m2", "F8_E4M3FNUZ": "float8_e4m3fnuz",
    "F8_E5M2FNUZ": "float8_e5m2fnuz", "F8_E8M0": "float8_e8m0fnu", "F4": "float4_e2m1fn_x2",
}  # fmt: skip
_KINDS: Final = ("model.safetensors", "pytorch_model.bin")
"""In the order in which `from_pretrained` looks for them; each may be sharded, with an index beside its name."""
ADAPTER_FILES: Final = ("adapter_model.safetensors", "adapter_model.bin")
"""The same of a PEFT adapter."""
_LARGEST: Final = 100_000_000
"""Bytes; safetensors itself refuses longer headers."""
_POINTER: Final = b"version "
"""How a Git LFS pointer begins that stands where the file would be."""
_AGAIN: Final = "download or save it again"
_REMOVE: Final = "download or save the file again, or remove it: weights are not needed"
_Entries: TypeAlias = dict[str, tuple[str, tuple[int, ...]]]


@dataclass(frozen=True, slots=True)
class Stored:
    """How one tensor lies in the checkpoint."""

    dtype: str
    shard: str
    shape: tuple[int, ...] = ()
    alone: bool = True
    """Whether it is all that its place in the model is made of, and that place all that is made of it."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What the files of a checkpoint say of its tensors."""

    tensors: dict[str, Stored] = field(default_factory=dict)
    complete: bool = False
    """Whether every shard was read, so that a tensor that is not here is not in the checkpoint."""
    remarks: tuple[Assumption, ...] = ()
    """What a person who loads it should know, though loading it does not fail."""


def read_headers(root: Path, kinds: tuple[str, ...] = _KINDS) -> Checkpoint:
    """How the tensors of the checkpoint in a folder are stored; none where it holds no files of weights."""
    for name in kinds:
        if (root / name).is_file():
            return _whole(root / name)
        if (root / f"{name}.index.json").is_file():
            return _sharded(root, root / f"{name}.index.json", _READERS[Path(name).suffix])
    for name in kinds:
        if len(variants := _variants(root, name)) == 1:
            ((variant, file),) = variants.items()
            found = _sharded(root, file, _READERS[Path(name).suffix]) if file.suffix == ".json" else _whole(file)
            remark = Assumption("the checkpoint is a variant", f"loaded by variant={variant!r} alone", file.name)
            return replace(found, remarks=(*found.remarks, remark))
    return Checkpoint()


def _whole(file: Path) -> Checkpoint:
    found = _READERS[file.suffix](file)
    if found is None:
        return Checkpoint(remarks=(_pointer(file),))
    return Checkpoint({key: _stored(entry, file.name) for key, entry in found.items()}, complete=True)


def _pointer(file: Path) -> Assumption:
    return Assumption(
        "the weights are a git-lfs pointer", f"dtypes as the config says: {how_to_bring(file)}", file.name
    )


def _variants(root: Path, name: str) -> dict[str, Path]:
    """The variants of a checkpoint file, named as `save_pretrained(variant=...)` does, with the file of each."""
    stem, suffix = Path(name).stem, Path(name).suffix
    forms = (rf"{stem}\.(\w+)\{suffix}", rf"{stem}\{suffix}\.index\.(\w+)\.json")
    if not root.is_dir():
        return {}
    found = (
        (match[1], file)
        for file in sorted(root.iterdir())
        for form in forms
        if (match := re.fullmatch(form, file.name))
    )
    return dict(found)


def first_float(stored: dict[str, Stored]) -> str | None:
    """The dtype that `dtype="auto"` takes from a checkpoint: its first float tensor's, eight-bit ones left out."""
    return next((s.dtype for s in stored.values() if is_float(s.dtype) and DTYPES[s.dtype].bytes > 1), None)


def _sharded(root: Path, index: Path, read: Callable[[Path], _Entries | None]) -> Checkpoint:
    if is_pointer_file(index):
        return Checkpoint({}, False, (_pointer(index),))
    weight_map, told = _index(index)
    tensors: dict[str, Stored] = {}
    complete, pointers = True, []
    for shard in sorted(set(weight_map.values())):
        # An index without its shards is usual: nobody needs the weights to look at dtypes.
        found = read(root / shard) if (root / shard).is_file() else None
        if found is None:
            complete = False
            pointers += [_pointer(root / shard)] if (root / shard).is_file() else []
            continue
        lacking = sorted(name for name, place in weight_map.items() if place == shard and name not in found)
        if lacking:
            raise AnalyzerError(f"{root / shard} lacks {lacking[0]}, which {index.name} promises", hint=_AGAIN)
        for name in sorted(tensors.keys() & found):
            raise AnalyzerError(f"{root / shard}: {name} is also in {tensors[name].shard}", hint=_AGAIN)
        tensors |= {name: _stored(entry, shard) for name, entry in found.items()}
    return Checkpoint(tensors, complete, tuple(_untrue(index, told, tensors)) if complete else tuple(pointers[:1]))


def _untrue(index: Path, told: Any, tensors: dict[str, Stored]) -> Iterator[Assumption]:
    """The remark that an index is wrong about the bytes of its tensors: loading does not look, planning memory does."""
    sizes = [width(one.dtype) * prod(one.shape) for one in tensors.values()]
    known = all(width(one.dtype) and not one.dtype.startswith("float4") for one in tensors.values())
    plain = index.name.startswith("model") and isinstance(told, (int, float)) and not isinstance(told, bool)
    if known and plain and int(told) != sum(sizes):
        said = f"metadata.total_size is {int(told):,} bytes, but its tensors have {sum(sizes):,}"
        yield Assumption("the index of the checkpoint is wrong", said, index.name)


def _index(index: Path) -> tuple[dict[str, str], object]:
    """Which shard holds each tensor, and the bytes of all of them as the index tells it, None where it does not."""
    try:
        read = json.loads(read_small(index), object_pairs_hook=_once)
        weight_map: dict[str, str] = read["weight_map"]
        told = (read.get("metadata") or {}).get("total_size")
        shards = sorted(set(weight_map.values()))
    except _Twice as error:
        raise AnalyzerError(f"{index}: {error} stands there twice", hint=_AGAIN) from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise AnalyzerError(f"{index}: broken checkpoint index", hint=_AGAIN) from error
    for shard in shards:
        if not isinstance(shard, str) or Path(shard).is_absolute() or ".." in Path(shard).parts:
            raise AnalyzerError(f"{index}: {shard!r} is no file of this folder", hint=_AGAIN)
    return weight_map, told


def _safetensors(file: Path) -> _Entries | None:
    broken = f"{file}: broken safetensors header"
    with opened(file) as stream:
        start, whole = stream.read(8), os.fstat(stream.fileno()).st_size
        if start == _POINTER:
            return None
        size = int.from_bytes(start, "little")
        if len(start) < 8 or size > min(_LARGEST, whole - 8):
            raise AnalyzerError(f"{broken}: its length is wrong", hint=_REMOVE)
        text = stream.read(size)
    try:
        entries: dict[str, dict[str, Any]] = json.loads(text, object_pairs_hook=_once)
        # By name, as safetensors lists them: which one is first decides what dtype="auto" means.
        rows = [
            (name, str(e["dtype"]), _whole_numbers(e["shape"]), _whole_numbers(e["data_offsets"]))
            for name, e in sorted(entries.items())
            if name != "__metadata__"
        ]
        end = 0
        for name, dtype, shape, (begin, stop) in sorted(rows, key=lambda row: row[3]):
            if begin != end:
                raise AnalyzerError(f"{broken}: the data of {name} leave a hole or overlap", hint=_REMOVE)
            row = DTYPES.get(_NAMES.get(dtype, ""))
            if row and dtype != "F4" and stop - begin != prod(shape) * row.bytes:
                raise AnalyzerError(
                    f"{broken}: {name} has {stop - begin} bytes, not {dtype}{list(shape)}", hint=_REMOVE
                )
            end = stop
    except _Twice as error:
        raise AnalyzerError(f"{broken}: {error} stands there twice", hint=_REMOVE) from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise AnalyzerError(f"{broken}: {type(error).__name__}: {error}", hint=_REMOVE) from error
    if end != whole - 8 - size:
        raise AnalyzerError(f"{broken}: it tells of {end} bytes of data, the file has {whole - 8 - size}", hint=_REMOVE)
    return {name: (_NAMES.get(dtype, dtype.lower()), shape) for name, dtype, shape, _ in rows}


def _whole_numbers(given: Any) -> tuple[int, ...]:
    """Raises ValueError for what is no list of sizes."""
    if not isinstance(given, list) or not all(type(one) is int and 0 <= one < 1 << 63 for one in given):
        raise ValueError(f"{str(given)[:40]} is no list of sizes")
    return tuple(given)


def _pickled(file: Path) -> _Entries | None:
    """Tensors of a `torch.save` file: torch's own restricted reader runs no code in it.

    On meta it passes over the data of the zip format; the format before torch 1.6 is one stream, read to its end.
    """
    import pickle

    import torch

    try:
        with opened(file) as stream:
            if stream.read(8) == _POINTER:
                return None
            stream.seek(0)
            found = torch.load(stream, map_location="meta", weights_only=True)
    except AnalyzerError:
        raise
    except pickle.UnpicklingError as error:
        raise AnalyzerError(f"{file} is refused: it holds more than tensors", hint="save it as safetensors") from error
    except Exception as error:  # a broken file raises whatever its bytes lead to
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise AnalyzerError(f"{file}: broken checkpoint: {first}", hint=_REMOVE) from error
    if not isinstance(found, dict):
        raise AnalyzerError(f"{file} holds no dict of tensors", hint=_REMOVE)
    return {
        str(name): (str(tensor.dtype).removeprefix("torch."), tuple(tensor.shape))
        for name, tensor in found.items()
        if isinstance(tensor, torch.Tensor)
    }


_READERS: Final = {".safetensors": _safetensors, ".bin": _pickled}


def _stored(entry: tuple[str, tuple[int, ...]], shard: str) -> Stored:
    return Stored(entry[0], shard, entry[1])


class _Twice(Exception):
    """A JSON object has one key two times; Python's reader would keep the last without a word."""


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise _Twice(key)
        found[key] = value
    return found
