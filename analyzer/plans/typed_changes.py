"""Candidates that a person types: `NAME=VALUE,...` becomes a proposal."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

from analyzer.errors import AnalyzerError
from analyzer.ir.dtypes import parse_autocast, parse_dtype
from analyzer.ir.fixes.proposals import Failure, Proposal
from analyzer.ir.plan import MERGED, FieldValue, Plan

Reread = Callable[[dict[str, str]], tuple[Plan, ...]]
"""Keys of a recipe to set -> the plan of each stage under them."""
_NAMES: Final = "to, dtype, inputs_to, autocast, scope, train, set.NAME, input_dtypes.NAME, recipe.KEY, run"
_SWITCHES: Final = {"true": True, "false": False}


def read_asked(text: str, reread: Reread | None = None, option: str = "--try") -> Proposal:
    """The proposal that a `--try` means, or another option; `run=FILE` names another inputs file.

    `recipe.KEY=VALUE` is put into the recipe, which `reread` makes plans of again. Raises AnalyzerError if it means
    none.

    >>> read_asked("to=bf16,set.vpm=f32").change
    {'to': 'bfloat16', 'set': {'vpm': 'float32'}}
    """
    change: dict[str, FieldValue] = {}
    merged: dict[str, dict[str, str]] = {}
    tried: dict[str, str] = {}
    inputs = None
    for part in text.split(","):
        name, equals, value = part.strip().rpartition("=")
        if not (equals and name and value):
            raise AnalyzerError(f"{option} '{text}' is not NAME=VALUE", hint=f"for example {option} to=bfloat16")
        field, _, key = name.partition(".")
        if field in MERGED and key:
            change[field] = merged.setdefault(field, {})
            merged[field][key] = parse_dtype(value)
        elif name == "run":
            inputs = _inputs_file(value)
        elif field == "recipe" and key:
            tried[key] = value
        elif name in _FIELDS and not (name == "train" and value not in _SWITCHES):
            change[name] = _FIELDS[name](value)
        else:
            raise AnalyzerError(f"{option} knows no '{name}={value}'", hint=f"use one of {_NAMES}")
    stages = reread(tried) if tried and reread is not None else ()
    return Proposal("asked", text, change, stages, inputs=inputs, impossible=_unread(tried, stages))


def _inputs_file(value: str) -> Path:
    path = Path(value)
    if not path.is_file():
        raise AnalyzerError(f"no such inputs file: {value}", hint="a Python file that defines inputs(config)")
    return path


def _unread(tried: dict[str, str], stages: tuple[Plan, ...]) -> Failure | None:
    """Why keys of a recipe cannot be tried; None where they can."""
    if not tried or any(plan.stage for plan in stages):
        return None
    return Failure("cannot be set", f"no recipe is read here, so 'recipe.{next(iter(tried))}' changes nothing")


_FIELDS: Final[dict[str, Callable[[str], FieldValue]]] = {
    "to": parse_dtype,
    "dtype": parse_dtype,
    "inputs_to": parse_dtype,
    "autocast": lambda value: ":".join(parse_autocast(value)) if value != "none" else None,
    "scope": str,
    "train": _SWITCHES.__getitem__,
}
"""Field of a plan -> how a typed value of it is read."""
