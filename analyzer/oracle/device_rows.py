"""What other devices than the CPU answered: rows of a data file, one for each signature on which they differ."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

from analyzer.ir import walk
from analyzer.ir.dtypes import parse_dtype, short
from analyzer.ir.graph import Spec
from analyzer.ir.witness import Witness

Source: TypeAlias = Literal["recorded", "from source"]
FROM_SOURCE: Final = "from source"
RECORDED: Final = "recorded"

Static = tuple[tuple[str, Any], ...]
Dtypes = tuple["str | None", ...]
_ARGUMENTS: dict[tuple[str, str], tuple[list[str], list[str]]] = {}


@dataclass(frozen=True, slots=True)
class Row:
    """One call and one device's answer: `refused` in its words, else the dtypes that it `gives`.

    `dtypes` are those of the tensor operands in the order of the schema, None for an optional one that is absent.
    """

    op: str
    dtypes: Dtypes
    static: Static
    """Arguments that are no tensors and matter, by name; the others may have any value."""
    refused: str
    gives: tuple[str, ...]
    source: Source
    reference: str
    """Where the proof is read, the best known place first; of a recorded row the torch version and the device."""

    @property
    def key(self) -> tuple[str, tuple[str, ...], str]:
        """What rows are sorted by, and told apart by."""
        return (self.op, tuple(_short(d) or "" for d in _trimmed(self.dtypes)), repr(self.static))

    def witness(self, device: str) -> Witness:
        """Whose answer this is, for a report: `cuda, from source: pytorch#135969`."""
        return Witness.of_device(device, self.source, self.reference.split("; ")[0])


@dataclass(frozen=True, slots=True)
class Answers:
    """The data file of one device."""

    rows: tuple[Row, ...] = ()
    as_on_cpu: tuple[tuple[str, str], ...] = ()
    """What needs no row because both devices run the same check: what, and where that is read."""
    unknown: tuple[str, ...] = ()
    """Differences that are suspected, with no proof and so no row."""


@cache
def load(device: str) -> Answers:
    """What is known of a device; nothing of the CPU, which is asked itself."""
    path = Path(__file__).with_name(f"{device}.json")
    return parse(path.read_text(encoding="utf-8")) if path.exists() else Answers()


def find(
    device: str, op: str, schema: object, args: Sequence[object], kwargs: Iterable[tuple[str, object]]
) -> Row | None:
    """The row of a device that decides a call whose tensors are given as `Spec`; None if there is none.

    `schema` is that of the overload. A recorded row goes before one from source.
    """
    known = _by_op(device).get(op)
    if not known:
        return None
    names, tensors = _arguments(schema)
    given = dict(zip(names, args, strict=False)) | dict(kwargs)
    for row in known.get(_trimmed(dtype for name in tensors for dtype in _dtypes(given.get(name))), ()):
        if all(given.get(name) == value for name, value in row.static):
            return row
    return None


def parse(text: str) -> Answers:
    """What a data file says."""
    data = json.loads(text)
    shared = tuple((note["what"], note["reference"]) for note in data["as_on_cpu"])
    return Answers(tuple(map(_row, data["rows"])), shared, tuple(data["unknown"]))


def dump(answers: Answers) -> str:
    """The data file: rows sorted, one a line."""
    rows = sorted(answers.rows, key=lambda row: (row.key, row.source != RECORDED))
    parts: dict[str, list[Any]] = {
        "as_on_cpu": [{"what": what, "reference": reference} for what, reference in answers.as_on_cpu],
        "unknown": list(answers.unknown),
        "rows": list(map(_plain, rows)),
    }
    lines = [
        f'"{name}": [\n' + ",\n".join([json.dumps(item) for item in items]) + "\n]" for name, items in parts.items()
    ]
    return "{\n" + ",\n".join(lines) + "\n}\n"


@cache
def _by_op(device: str) -> dict[str, dict[Dtypes, list[Row]]]:
    groups: dict[str, dict[Dtypes, list[Row]]] = {}
    for row in sorted(load(device).rows, key=lambda row: row.source != RECORDED):
        groups.setdefault(row.op, {}).setdefault(_trimmed(row.dtypes), []).append(row)
    return groups


def _arguments(schema: Any) -> tuple[list[str], list[str]]:
    """The names of all arguments, and of those that are tensors."""
    known = _ARGUMENTS.get(key := (schema.name, schema.overload_name))
    if known is None:
        tensors = [a.name for a in schema.arguments if "Tensor" in str(a.type)]
        known = _ARGUMENTS[key] = ([a.name for a in schema.arguments], tensors)
    return known


def _dtypes(arg: object) -> list[str | None]:
    return [end.dtype if isinstance(end, Spec) else None for end in walk.leaves(arg, object)]


def _trimmed(dtypes: Iterable[str | None]) -> Dtypes:
    """Without absent operands at the end: a schema gains them from one version of torch to the next."""
    kept = list(dtypes)
    while kept and kept[-1] is None:
        kept.pop()
    return tuple(kept)


def _row(data: dict[str, Any]) -> Row:
    return Row(
        data["op"],
        tuple(d and parse_dtype(d) for d in data["dtypes"]),
        tuple((name, _frozen(value)) for name, value in data.get("static", {}).items()),
        data["answer"].get("refused", ""),
        tuple(parse_dtype(d) for d in data["answer"].get("dtypes", ())),
        data["source"],
        data["reference"],
    )


def _plain(row: Row) -> dict[str, object]:
    answer = {"refused": row.refused} if row.refused else {"dtypes": [short(d) for d in row.gives]}
    static = {"static": dict(row.static)} if row.static else {}
    head: dict[str, Any] = {"op": row.op, "dtypes": [_short(d) for d in row.dtypes]}
    return {**head, **static, "answer": answer, "source": row.source, "reference": row.reference}


def _short(dtype: str | None) -> str | None:
    return short(dtype) if dtype else None


def _frozen(value: object) -> object:
    return walk.changed(value, object, lambda end: end, into=tuple)
