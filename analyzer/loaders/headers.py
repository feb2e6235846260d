"""Reads which dtype each tensor of a checkpoint is stored in, from safetensors headers and never from the data."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from analyzer.dtypes import DTYPES, is_float
from analyzer.errors import AnalyzerError

_NAMES: Final = {
    "F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16", "C64": "complex64",
    "I64": "int64", "I32": "int32", "I16": "int16", "I8": "int8", "BOOL": "bool",
    "U64": "uint64", "U32": "uint32", "U16": "uint16", "U8": "uint8",
    "F8_E4M3": "float8_e4m3fn", "F8_E5M2": "float8_e5m2", "F8_E4M3FNUZ": "float8_e4m3fnuz",
    "F8_E5M2FNUZ": "float8_e5m2fnuz", "F8_E8M0": "float8_e8m0fnu", "F4": "float4_e2m1fn_x2",
}  # fmt: skip
_SINGLE: Final = "model.safetensors"
_INDEX: Final = "model.safetensors.index.json"
_LARGEST: Final = 100_000_000
"""Bytes; safetensors itself refuses longer headers."""


@dataclass(frozen=True, slots=True)
class Stored:
    """How one tensor lies in the checkpoint."""

    dtype: str
    shard: str


def read_headers(root: Path) -> dict[str, Stored]:
    """Tensor name -> how it is stored; empty where the folder holds no safetensors files."""
    stored: dict[str, Stored] = {}
    for shard in _shards(root):
        for name, dtype in _header(root / shard):
            stored[name] = Stored(dtype, shard)
    return stored


def first_float(stored: dict[str, Stored]) -> str | None:
    """The dtype that `dtype="auto"` takes from a checkpoint: its first float tensor's, eight-bit ones left out."""
    return next((s.dtype for s in stored.values() if is_float(s.dtype) and DTYPES[s.dtype].bytes > 1), None)


def _shards(root: Path) -> list[str]:
    if (root / _SINGLE).is_file():
        return [_SINGLE]
    index = root / _INDEX
    if not index.is_file():
        return []
    try:
        weight_map = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
        shards = sorted(set(weight_map.values()))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise AnalyzerError(f"{index}: broken checkpoint index", hint="download or save it again") from error
    for shard in shards:
        if not isinstance(shard, str) or Path(shard).is_absolute() or ".." in Path(shard).parts:
            raise AnalyzerError(f"{index}: {shard!r} is no file of this folder", hint="download or save it again")
    # An index without its shards is usual: nobody needs the weights to look at dtypes.
    return [shard for shard in shards if (root / shard).is_file()]


def _header(file: Path) -> list[tuple[str, str]]:
    broken = f"{file}: broken safetensors header"
    hint = "download or save the file again, or remove it: weights are not needed"
    with file.open("rb") as stream:
        start = stream.read(8)
        if start == b"version ":  # a Git LFS pointer stands where the file would be
            return []
        size = int.from_bytes(start, "little")
        if len(start) < 8 or size > min(_LARGEST, file.stat().st_size - 8):
            raise AnalyzerError(f"{broken}: its length is wrong", hint=hint)
        text = stream.read(size)
    try:
        entries: dict[str, dict[str, Any]] = json.loads(text)
        # By name, as safetensors lists them: which one is first decides what dtype="auto" means.
        rows = sorted((name, str(entry["dtype"])) for name, entry in entries.items() if name != "__metadata__")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise AnalyzerError(f"{broken}: {type(error).__name__}: {error}", hint=hint) from error
    return [(name, _NAMES.get(dtype, dtype.lower())) for name, dtype in rows]
