"""Dtype names, their short forms, widths in bytes and kinds: the one table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from analyzer.errors import AnalyzerError
from analyzer.ir.literal_types import AUTOCAST_DEVICES, AUTOCAST_DTYPES, AutocastDtype, Device, DtypeKind, one_of


@dataclass(frozen=True, slots=True)
class DType:
    """One row: torch's name without `torch.`, the short name people read, bytes per element, kind, and its numbers."""

    name: str
    short: str
    bytes: int
    kind: DtypeKind
    bits: int = 0
    """Significant bits of a number, the hidden one of a float included; 0 where nothing asks."""
    exponent: int = 0
    """Bits of a float's exponent; of an integer, as many as count its significant ones."""


_ROWS: Final = (
    DType("bool", "b1", 1, "bool", 1, 1),
    DType("uint8", "u8", 1, "int", 8, 4),
    DType("uint16", "u16", 2, "int", 16, 5),
    DType("uint32", "u32", 4, "int", 32, 6),
    DType("uint64", "u64", 8, "int", 64, 7),
    DType("int8", "i8", 1, "int", 7, 3),
    DType("int16", "i16", 2, "int", 15, 4),
    DType("int32", "i32", 4, "int", 31, 5),
    DType("int64", "i64", 8, "int", 63, 6),
    DType("float8_e4m3fn", "f8e4m3", 1, "float", 4, 4),
    DType("float8_e4m3fnuz", "f8e4m3fnuz", 1, "float"),
    DType("float8_e5m2", "f8e5m2", 1, "float", 3, 5),
    DType("float8_e5m2fnuz", "f8e5m2fnuz", 1, "float"),
    DType("float8_e8m0fnu", "f8e8m0", 1, "float"),
    DType("float4_e2m1fn_x2", "f4e2m1x2", 1, "float"),
    DType("float16", "f16", 2, "float", 11, 5),
    DType("bfloat16", "bf16", 2, "float", 8, 8),
    DType("float32", "f32", 4, "float", 24, 8),
    DType("float64", "f64", 8, "float", 53, 11),
    DType("complex32", "c32", 4, "complex"),
    DType("complex64", "c64", 8, "complex"),
    DType("complex128", "c128", 16, "complex"),
)
DTYPES: Final = {row.name: row for row in _ROWS}
_BY_SHORT: Final = {row.short: row for row in _ROWS}
_PARTS: Final = {"complex32": "float16", "complex64": "float32", "complex128": "float64"}
_WHOLES: Final = {"float32": "complex64", "float64": "complex128"}
_ALIASES: Final = {"half": "float16", "float": "float32", "double": "float64", "fp16": "float16", "fp32": "float32"}


def short(name: str) -> str:
    """The short form of a dtype name; a name outside the table stays as it is.

    >>> short("bfloat16")
    'bf16'
    """
    row = DTYPES.get(name)
    return row.short if row else name


def parse_dtype(text: str) -> str:
    """The dtype name that `text` means, in any usual spelling.

    >>> parse_dtype("bf16"), parse_dtype("torch.float32"), parse_dtype("half")
    ('bfloat16', 'float32', 'float16')

    Raises AnalyzerError for a name that is no dtype.
    """
    name = text.removeprefix("torch.")
    if name in DTYPES:
        return name
    if name in _BY_SHORT:
        return _BY_SHORT[name].name
    if name in _ALIASES:
        return _ALIASES[name]
    raise AnalyzerError(f"unknown dtype '{text}'", hint="for example float32, bfloat16, float16, float64")


def parse_autocast(text: str) -> tuple[Device, AutocastDtype]:
    """Device and dtype name of an autocast such as "cuda:bfloat16".

    >>> parse_autocast("cuda:bf16")
    ('cuda', 'bfloat16')

    Raises AnalyzerError if the text names no device or dtype that `torch.autocast` takes.
    """
    device, colon, dtype = text.partition(":")
    if not colon:
        raise AnalyzerError(f"autocast '{text}' is not DEVICE:DTYPE", hint="for example cuda:bfloat16")
    if device not in AUTOCAST_DEVICES:
        raise AnalyzerError(f"autocast has no device '{device}'", hint=f"use one of {', '.join(AUTOCAST_DEVICES)}")
    name = parse_dtype(dtype)
    if name not in AUTOCAST_DTYPES:
        raise AnalyzerError(f"autocast does not cast to {name}", hint=f"use one of {', '.join(AUTOCAST_DTYPES)}")
    return one_of(AUTOCAST_DEVICES, device), one_of(AUTOCAST_DTYPES, name)


def kind(name: str) -> DtypeKind:
    """The kind of a dtype; one outside the table, such as a quantised one, counts as a float.

    >>> kind("uint8"), kind("bfloat16"), kind("complex64")
    ('int', 'float', 'complex')
    """
    row = DTYPES.get(name)
    return row.kind if row else "float"


def is_float(name: str) -> bool:
    """Whether the dtype is a real floating-point one (complex is not)."""
    row = DTYPES.get(name)
    return row is not None and row.kind == "float"


def width(name: str) -> int:
    """Bytes per element; 0 for a dtype outside the table."""
    row = DTYPES.get(name)
    return row.bytes if row else 0


def real_part(name: str) -> str:
    """The dtype of the two parts of a complex number; any other dtype is its own.

    >>> real_part("complex64"), real_part("int64")
    ('float32', 'int64')
    """
    return _PARTS.get(name, name)


def keeping(name: str, wanted: str) -> str:
    """The dtype that a tensor is cast to where `wanted` is wanted of it or its parts; "" if none keeps its values.

    A complex number is cast to a complex dtype, or it would lose its imaginary part; no half dtype has one.

    >>> keeping("complex128", "float32"), keeping("float64", "bfloat16"), keeping("complex64", "bfloat16")
    ('complex64', 'bfloat16', '')
    """
    return wanted if kind(name) != "complex" or kind(wanted) == "complex" else _WHOLES.get(wanted, "")
