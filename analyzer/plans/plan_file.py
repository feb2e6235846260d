"""A plan as a file of our own: the fields of Plan as JSON, one object or a list of one for each stage."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, asdict, fields
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, TypeVar, get_origin, get_type_hints

from analyzer.errors import AnalyzerError
from analyzer.escaping import as_json
from analyzer.foreign import parse_json, read_small_text
from analyzer.ir.plan import LONGEST, Engine, Plan, Preparation, Training, Wrap

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Made = TypeVar("Made", bound="DataclassInstance")
_INSIDE: Final[dict[str, type[Training | Wrap | Engine | Preparation]]] = {
    "training": Training, "fsdp": Wrap, "deepspeed": Engine, "preparation": Preparation,
}  # fmt: skip
"""Fields that hold another record -> its class."""
_TUPLES: Final = ("read", "notes", "classes", "widened", "narrowed")


def dump(plans: Plan | Sequence[Plan]) -> bytes:
    """The plan of each stage as a file that `--plan` reads back; fields at their default are left out."""
    said = [_said(plan) for plan in ([plans] if isinstance(plans, Plan) else plans)]
    return (as_json(said[0] if len(said) == 1 else said, 2) + "\n").encode()


def load(file: Path) -> tuple[Plan, ...]:
    """The plans that a file holds. Raises AnalyzerError for broken JSON and for fields that a plan has not."""
    given = parse_json(read_small_text(file), file)
    rows = given if isinstance(given, list) else [given]
    if not rows or not all(isinstance(row, Mapping) for row in rows):
        raise AnalyzerError(f"{file} holds no plan", hint='for example {"to": "bfloat16"}')
    patterns = (row.get("set") or () for row in rows if isinstance(row, Mapping))
    if any(len(str(one)) > LONGEST for named in patterns if isinstance(named, Mapping) for one in named):
        raise AnalyzerError(f"{file}: a pattern in set has more than {LONGEST} characters", hint="shorten it")
    return tuple(_record(Plan, row, str(file)) for row in rows)


def _said(record: DataclassInstance) -> dict[str, object]:
    found: dict[str, object] = {}
    for one in fields(record):
        value = getattr(record, one.name)
        default = one.default if one.default_factory is MISSING else one.default_factory()
        if value != default:
            found[one.name] = _said(value) if one.name in _INSIDE else asdict(record)[one.name]
    return found


def _record(cls: type[Made], row: object, where: str) -> Made:
    make: Callable[..., Made] = cls
    if not isinstance(row, Mapping):
        raise AnalyzerError(f"{where}: '{row}' is no object", hint="give its fields in braces")
    kinds = {one.name: one for one in fields(cls)}
    types = get_type_hints(cls)
    values: dict[str, object] = {}
    for key, value in row.items():
        if key not in kinds:
            close = get_close_matches(str(key), kinds, n=1)
            hint = f"did you mean '{close[0]}'?" if close else f"there is {', '.join(kinds)}"
            raise AnalyzerError(f"{where}: a plan has no field '{key}'", hint=hint)
        if key in _INSIDE:
            values[key] = None if value is None else _record(_INSIDE[key], value, f"{where}: {key}")
        else:
            values[key] = tuple(value) if key in _TUPLES and isinstance(value, list) else _checked(
                value, "str" if get_origin(types[key]) is Literal else str(kinds[key].type), f"{where}: {key}"
            )  # fmt: skip
    return make(**values)


def _checked(value: object, kind: str, where: str) -> object:
    """A value of the field's type, told by its annotation."""
    wanted: tuple[type, ...] = tuple(t for name, t in _TYPES.items() if name in kind)
    wanted += (int,) if kind == "float" else ()
    wanted += (dict,) if kind.startswith("dict") else (str,) if kind.startswith("str") else ()
    if not isinstance(value, wanted) or (isinstance(value, bool) and "bool" not in kind):
        raise AnalyzerError(f"{where}: {json.dumps(value)} does not fit", hint=f"it is of type {kind}")
    return value


_TYPES: Final[dict[str, type]] = {"bool": bool, "int": int, "float": float, "None": type(None)}
