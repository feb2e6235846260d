"""Which kernels a device has in which dtypes, as PyTorch's operator database states it: rows of a generated file."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, Final, TypeVar

import torch

from analyzer.ir import walk
from analyzer.ir.dtypes import parse_dtype, short
from analyzer.ir.graph import DtypeArg, Spec
from analyzer.ir.witness import Witness

OPERATOR_DATABASE: Final = "operator database"
Static = tuple[tuple[str, str], ...]
Version = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Row:
    """One kernel of a device: the dtypes that it lacks, and those that it has and the CPU lacks.

    `operands` are the arguments that share the dtype, `static` words that choose the kernel; `operator` is the entry
    of the database that says so, `torch` the releases in which it does.
    """

    op: str
    operands: tuple[str, ...]
    static: Static
    lacks: tuple[str, ...]
    runs: tuple[str, ...]
    operator: str
    torch: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Difference:
    """An entry of the database whose dtypes on a device are not the CPU's; `function` is what people call."""

    operator: str
    function: str
    lacks: tuple[str, ...]
    runs: tuple[str, ...]
    torch: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Answers:
    """The file of one device."""

    rows: tuple[Row, ...] = ()
    differences: tuple[Difference, ...] = ()


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the database says of one call."""

    has: bool
    kernel: str
    dtype: str
    witness: Witness

    def words(self, on_cpu: str) -> str:
        """How the device refuses it: in the CPU's words, if both run the same check, else for want of a kernel."""
        if on_cpu and not is_missing(on_cpu):
            return on_cpu
        return (
            f"\"{self.kernel}\" not implemented for '{_CXX[self.dtype]}' on {self.witness.text.split(',')[0].upper()}"
        )


Entry = TypeVar("Entry", Row, Difference)


def find(
    device: str, op: str, schema: Any, args: Sequence[object], kwargs: Iterable[tuple[str, object]]
) -> Verdict | None:
    """What the database says of a call whose tensors are given as `Spec`; None where it says nothing.

    It speaks of calls in one dtype, on operands that have elements, to a result whose dtype nobody chose.
    """
    rows = _by_op(device).get(op)
    if not rows:
        return None
    given = dict(zip([a.name for a in schema.arguments], args, strict=False)) | dict(kwargs)
    words = {name: value for name, value in given.items() if isinstance(value, str)}
    row = next((row for row in rows if dict(row.static) == words), None)
    return _verdict(device, row, given) if row else None


def names(device: str, op: str) -> bool:
    """Whether the database says anything of an overload on a device."""
    return op in _by_op(device)


def has_function(device: str, function: str, dtypes: Iterable[str]) -> bool:
    """Whether a device has a function, by its full name, in dtypes that the CPU refuses before any kernel.

    >>> has_function("cuda", "torch.fft.rfft", ["float16"]), has_function("cuda", "torch.fft.rfft", ["bfloat16"])
    (True, False)
    """
    known = _by_function(device).get(function, frozenset())
    given = set(dtypes)
    return bool(given) and given <= known


def is_missing(words: str) -> bool:
    """Whether a refusal says that there is no kernel for a dtype, as the macros of aten/src/ATen/Dispatch.h do.

    >>> is_missing("'geqrf_cpu' not implemented for 'BFloat16'")
    True
    """
    return "not implemented for" in words


def is_of_dtype(words: str) -> bool:
    """Whether a refusal is one for a dtype, not for a value that the dtype cannot hold.

    >>> is_of_dtype("Unsupported dtype Half"), is_of_dtype("value cannot be converted to uint8 without overflow")
    (True, False)
    """
    return is_missing(words) or any(name in words for name in _OF_DTYPE)


@cache
def load(device: str) -> Answers:
    """The file of a device: every release of torch."""
    path = file_of(device)
    return parse(path.read_text(encoding="utf-8")) if path.exists() else Answers()


def file_of(device: str) -> Path:
    """Where the file of a device lies."""
    return Path(__file__).with_name(f"op_db_{device}.json")


def release(version: str) -> str:
    """The release that a version of torch belongs to.

    >>> release("2.13.0+cpu")
    '2.13'
    """
    return ".".join(version.split("+")[0].split(".")[:2])


def nearest(releases: Iterable[str], version: str) -> str:
    """The release that speaks for a version of torch: the newest that is not newer; "" if all are.

    >>> nearest(["2.6", "2.13"], "2.10.1"), nearest(["2.6"], "2.5.0")
    ('2.6', '')
    """
    older = [known for known in releases if _numbers(known) <= _numbers(release(version))]
    return max(older, key=_numbers, default="")


def merged(old: Iterable[Entry], new: Iterable[Entry], release: str) -> list[Entry]:
    """What was known, with the entries of one release replaced; those that say the same for several are one."""
    found: dict[Entry, set[str]] = {}
    for entry in old:
        found.setdefault(replace(entry, torch=()), set()).update(r for r in entry.torch if r != release)
    for entry in new:
        found.setdefault(replace(entry, torch=()), set()).update(entry.torch)
    return [replace(entry, torch=tuple(sorted(known, key=_numbers))) for entry, known in found.items() if known]


def parse(text: str) -> Answers:
    """What a data file says."""
    data = json.loads(text)
    return Answers(tuple(map(_row, data["rows"])), tuple(map(_difference, data["operators"])))


def dump(answers: Answers) -> str:
    """The data file: sorted, one entry a line."""
    rows = sorted(answers.rows, key=lambda row: (row.op, row.static, row.torch))
    operators = sorted(answers.differences, key=lambda entry: (entry.operator, entry.torch))
    parts = {"operators": [_plain(entry) for entry in operators], "rows": [_plain(row) for row in rows]}
    lines = [f'"about": {json.dumps(_ABOUT)}']
    lines += [f'"{name}": [\n' + ",\n".join(map(json.dumps, items)) + "\n]" for name, items in parts.items()]
    return "{\n" + ",\n".join(lines) + "\n}\n"


def of_this_torch(device: str) -> Answers:
    """The entries of a device that speak for the running torch."""
    known = load(device)
    chosen = nearest({r for row in known.rows for r in row.torch}, torch.__version__)
    rows = tuple(row for row in known.rows if chosen in row.torch)
    return Answers(rows, tuple(entry for entry in known.differences if chosen in entry.torch))


@cache
def _by_op(device: str) -> dict[str, list[Row]]:
    rows: dict[str, list[Row]] = {}
    for row in of_this_torch(device).rows:
        rows.setdefault(row.op, []).append(row)
    return rows


@cache
def _by_function(device: str) -> dict[str, frozenset[str]]:
    found: dict[str, frozenset[str]] = {}
    for entry in of_this_torch(device).differences:  # of several variants what all have
        before = found.get(entry.function, frozenset(entry.runs))
        found[entry.function] = before & frozenset(entry.runs)
    return found


def _verdict(device: str, row: Row, given: dict[str, object]) -> Verdict | None:
    specs = [spec for name in row.operands for spec in walk.leaves(given.get(name), Spec)]
    dtypes = {spec.dtype for spec in specs}
    if len(dtypes) != 1 or any(0 in spec.shape for spec in specs) or _chosen(given):
        return None
    (dtype,) = dtypes
    if dtype not in row.lacks and dtype not in row.runs:
        return None
    chosen = nearest(row.torch, torch.__version__)
    witness = Witness.of_device(device, OPERATOR_DATABASE, f"{row.operator}, torch {chosen}")
    return Verdict(dtype in row.runs, row.op.split(".")[1], dtype, witness)


def _chosen(given: dict[str, object]) -> bool:
    return any(isinstance(value, DtypeArg) for value in given.values())


def _numbers(version: str) -> Version:
    return tuple(int(part) for part in version.split(".") if part.isdigit())


def _row(data: dict[str, Any]) -> Row:
    static = tuple((name, word) for name, word in data.get("static", {}).items())
    lacks, runs = _dtypes(data.get("lacks", "")), _dtypes(data.get("runs", ""))
    return Row(data["op"], tuple(data["operands"]), static, lacks, runs, data["operator"], tuple(data["torch"]))


def _difference(data: dict[str, Any]) -> Difference:
    lacks, runs = _dtypes(data.get("lacks", "")), _dtypes(data.get("runs", ""))
    return Difference(data["operator"], data["function"], lacks, runs, tuple(data["torch"]))


def _plain(entry: Row | Difference) -> dict[str, object]:
    data: dict[str, object]
    if isinstance(entry, Row):
        data = {"op": entry.op, "operands": list(entry.operands)}
        data |= {"static": dict(entry.static)} if entry.static else {}
        tail = {"operator": entry.operator}
    else:
        data, tail = {"operator": entry.operator, "function": entry.function}, {}
    for name, dtypes in (("lacks", entry.lacks), ("runs", entry.runs)):
        data |= {name: " ".join(map(short, dtypes))} if dtypes else {}
    return {**data, **tail, "torch": list(entry.torch)}


def _dtypes(text: str) -> tuple[str, ...]:
    return tuple(map(parse_dtype, text.split()))


_ABOUT: Final = (
    "Made by `python -m analyzer.oracle operators` from torch.testing._internal.common_methods_invocations.op_db. "
    "It holds for the releases of torch that a row names, on a current GPU: every SM..OrLater condition of the "
    "database is true (sm53 and later is all that its sets ask for), CUDA, not ROCm."
)
_OF_DTYPE: Final = (
    "dtype Half",
    "type Half",
    "of type: Half",
    "nsupported dtype",
    "complex inputs",
    "type ComplexHalf",
)
_CXX: Final = {
    "bool": "Bool", "uint8": "Byte", "int8": "Char", "int16": "Short", "int32": "Int", "int64": "Long",
    "float16": "Half", "bfloat16": "BFloat16", "float32": "Float", "float64": "Double",
    "complex32": "ComplexHalf", "complex64": "ComplexFloat", "complex128": "ComplexDouble",
}  # fmt: skip
"""How kernels name the dtypes."""
