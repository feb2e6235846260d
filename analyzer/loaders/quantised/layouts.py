"""How each scheme packs the weight of a linear layer: names, dtypes and shapes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from analyzer.ir.dtypes import parse_dtype, width

_BLOCK, _NESTED, _CODES, _BYTES = 64, 256, 16, 256
"""bitsandbytes: elements in a block, blocks in a block of scales, and the sizes of its two code books."""


@dataclass(frozen=True, slots=True)
class Part:
    """One tensor of a packed weight; a `hidden` one is beside the model's state dict, in bitsandbytes' own state."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    parameter: bool = False
    hidden: bool = False


Layout = Callable[[int, int, Mapping[str, Any], str], tuple[Part, ...]]
"""Outputs, inputs, the config's settings, the dtype of loading -> the parts, the packed values first."""


def _bnb_4bit(rows: int, columns: int, settings: Mapping[str, object], loaded: str) -> tuple[Part, ...]:
    storage = parse_dtype(str(settings.get("bnb_4bit_quant_storage") or "uint8"))
    size, blocks = (rows * columns + 1) // 2 // width(storage), _up(rows * columns, _BLOCK)
    twice = bool(settings.get("bnb_4bit_use_double_quant"))
    scales: tuple[Part, ...] = (Part("absmax", "uint8" if twice else "float32", (blocks,), hidden=True),)
    if twice:
        scales += (
            Part("nested_absmax", "float32", (_up(blocks, _NESTED),), hidden=True),
            Part("nested_quant_map", "float32", (_BYTES,), hidden=True),
        )
    return (Part("weight", storage, (size, 1), True), *scales, Part("quant_map", "float32", (_CODES,), hidden=True))


def _bnb_8bit(rows: int, columns: int, settings: Mapping[str, object], loaded: str) -> tuple[Part, ...]:
    return (Part("weight", "int8", (rows, columns), True), Part("SCB", "float32", (rows,), hidden=True))


def _gptq(rows: int, columns: int, settings: Mapping[str, object], loaded: str) -> tuple[Part, ...]:
    bits, groups = _bits(settings), _groups(columns, settings)
    return (
        Part("qweight", "int32", (columns * bits // 32, rows)),
        Part("qzeros", "int32", (groups, rows * bits // 32)),
        Part("scales", "float16", (groups, rows)),
        Part("g_idx", "int32", (columns,)),
    )


def _awq(rows: int, columns: int, settings: Mapping[str, object], loaded: str) -> tuple[Part, ...]:
    bits, groups = _bits(settings), _groups(columns, settings)
    return (
        Part("qweight", "int32", (columns, rows * bits // 32)),
        Part("qzeros", "int32", (groups, rows * bits // 32)),
        Part("scales", "float16", (groups, rows)),
    )


def _fp8(rows: int, columns: int, settings: Mapping[str, Any], loaded: str) -> tuple[Part, ...]:
    block = settings.get("weight_block_size")
    scale = "float8_e8m0fnu" if settings.get("scale_fmt") == "ue8m0" else "float32"
    shape = (_up(rows, block[0]), _up(columns, block[1])) if block else ()
    static = settings.get("activation_scheme") == "static"
    return (
        Part("weight", "float8_e4m3fn", (rows, columns), True),
        Part("weight_scale_inv", scale if block else "float32", shape, True),
        *((Part("activation_scale", "float32", (), True),) if static else ()),
    )


def _fbgemm(rows: int, columns: int, settings: Mapping[str, object], loaded: str) -> tuple[Part, ...]:
    return (
        Part("weight", "float8_e4m3fn", (rows, columns), True),
        Part("weight_scale", "float32", (rows, 1), True),
        Part("input_scale_ub", "float32", (1,), hidden=True),
    )


def _eetq(rows: int, columns: int, settings: Mapping[str, object], loaded: str) -> tuple[Part, ...]:
    return (Part("weight", "int8", (columns, rows), True), Part("weight_scales", "float16", (rows,), True))


def _bitnet(rows: int, columns: int, settings: Mapping[str, object], loaded: str) -> tuple[Part, ...]:
    return (Part("weight", "uint8", (rows // 4, columns)), Part("weight_scale", loaded, (1,)))


def _dense(rows: int, columns: int, settings: Mapping[str, object], loaded: str) -> tuple[Part, ...]:
    return (Part("weight", loaded, (rows, columns), True),)


LAYOUTS: Final[dict[str, Layout]] = {
    "Linear4bit": _bnb_4bit,
    "Linear8bitLt": _bnb_8bit,
    "MarlinQuantLinear": _gptq,
    "TorchQuantLinear": _gptq,
    "AwqGEMMLinear": _awq,
    "FP8Linear": _fp8,
    "FbgemmFp8Linear": _fbgemm,
    "EetqLinear": _eetq,
    "BitLinear": _bitnet,
    "Linear": _dense,
}
"""Class name of a stand-in -> how it stores."""
BIAS: Final = {
    "MarlinQuantLinear": "float16", "TorchQuantLinear": "float16", "AwqGEMMLinear": "float16", "EetqLinear": "float16",
    "FbgemmFp8Linear": "float32",
}  # fmt: skip
"""Class name -> the dtype of its bias, where that is not the dtype of loading."""


def _bits(settings: Mapping[str, Any]) -> int:
    return int(settings.get("bits") or settings.get("w_bit") or 4)


def _groups(columns: int, settings: Mapping[str, Any]) -> int:
    size = int(settings.get("group_size") or settings.get("q_group_size") or 128)
    return _up(columns, size) if size > 0 else 1


def _up(count: int, size: int) -> int:
    return -(-count // size)
