"""Arguments of an operation as JSON, there and back: what JSON has no form for is an object with one telling key."""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from typing import Final

from analyzer.ir.graph import Arg, DtypeArg, Node, Ref, Spec
from analyzer.report.json_value import Json
from analyzer.report.records import Misfit

_NOT_FINITE: Final = {"inf": float("inf"), "-inf": float("-inf"), "nan": float("nan")}
"""Floats that JSON has no form for, as texts; a text that is one of these is an object."""
DEEPEST: Final = 32
"""Lists in lists in an argument; PyTorch's own signatures have two."""


def plain_argument(arg: Arg) -> Json:
    """An argument as plain data."""
    if isinstance(arg, Ref):
        return {"node": arg.id, "output": arg.index}
    if isinstance(arg, tuple):
        return [plain_argument(item) for item in arg]
    if isinstance(arg, float):
        return arg if isfinite(arg) else str(arg)
    if isinstance(arg, str):
        return {"text": arg} if arg in _NOT_FINITE else arg
    if isinstance(arg, DtypeArg):
        return {"dtype": arg.name}
    if isinstance(arg, Spec):
        return {"dtype": arg.dtype, "shape": list(arg.shape)}
    if isinstance(arg, complex):
        return {"real": plain_argument(arg.real), "imaginary": plain_argument(arg.imag)}
    return arg


def read_argument(data: object, nodes: Mapping[str, Node], depth: int = 0) -> Arg:
    """The argument that plain data stand for; raises Misfit for what is none, and for an operand that is not there."""
    if isinstance(data, dict):
        return read_operand(data, nodes) if "node" in data else _other(data)
    if isinstance(data, list):
        if depth == DEEPEST:
            raise Misfit(f"an argument is a list in more than {DEEPEST} others")
        return tuple([read_argument(item, nodes, depth + 1) for item in data])
    if isinstance(data, str):
        return _NOT_FINITE.get(data, data)
    if data is None or isinstance(data, (int, float)):
        return data
    raise Misfit(f"{data!r} is no argument")


def read_operand(data: object, nodes: Mapping[str, Node]) -> Ref:
    """A reference to an output of a node that has been read; raises Misfit where there is no such output."""
    if type(data) is not dict:
        raise Misfit("an operand is no object")
    name, index = data.get("node"), data.get("output")
    source = nodes.get(name) if type(name) is str else None
    if source is None or type(index) is not int or not 0 <= index < len(source.outputs):
        raise Misfit(f"no node above has the output {str(name)[:40]}#{str(index)[:40]}")
    return Ref(source.id, index)


def _other(data: Mapping[str, object]) -> Arg:
    if type(text := data.get("text")) is str:
        return text
    if "real" in data and "imaginary" in data:
        return complex(*(read_real(data[key]) for key in ("real", "imaginary")))
    if type(dtype := data.get("dtype")) is not str:
        raise Misfit("an argument is an object without node, dtype or text")
    if "shape" not in data:
        return DtypeArg(dtype)
    shape = data["shape"]
    if type(shape) is not list or any(type(size) is not int for size in shape):
        raise Misfit("a shape is no list of numbers")
    return Spec(dtype, tuple(shape))


def read_real(data: object) -> float:
    """A float; raises Misfit for what is none."""
    number = _NOT_FINITE.get(data) if type(data) is str else data
    if type(number) is not float:
        raise Misfit("a number is no float")
    return number
