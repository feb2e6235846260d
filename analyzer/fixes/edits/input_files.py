"""Proposals that write the cast of an input into the file that makes it: an inputs file, or one with `build()`."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

from analyzer.fixes.odd_operand import written_dtype
from analyzer.fixes.source_file import Code, Insertion, read
from analyzer.inputs import DEFAULT_NAME
from analyzer.ir.fixes.proposals import Edit, Proposal

_MAKERS: Final = ("inputs", "build")
"""Functions of a person's file that make inputs."""


def in_their_file(proposals: Iterable[Proposal], model: Path, inputs: Path | None, scratch: Path) -> Iterator[Proposal]:
    """For each change of inputs alone, the same as a change of the file that makes them, where it plainly does.

    `inputs` is the file that a person named; a changed copy of it is put into `scratch`, for the trial.
    """
    own = model.name if model.suffix == ".py" else DEFAULT_NAME
    folder, name = (inputs.parent, inputs.name) if inputs else (model.parent if model.suffix == ".py" else model, own)
    code = read(folder, name)
    for number, one in enumerate(proposals if code else ()):
        insertions = _casts(code, one.given) if code and one.kind == "input" and not one.edits else ()
        after = code.with_all(insertions) if code and insertions else ""
        if code is None or not after:
            continue
        lines = [code.text.encode()[: where.at].count(b"\n") + 1 for where in insertions]
        edit = Edit(name, min(lines), code.text, after, len(one.given), of_inputs=inputs is not None)
        changed = replace(one, kind="inputs file", what=f"{one.what}, in {name}", change={}, edits=(edit,))
        if inputs is not None:
            at = scratch / str(number) / name
            at.parent.mkdir()
            at.write_text(after, encoding="utf-8", newline="")
            changed = replace(changed, inputs=at)
        yield changed


def _casts(code: Code, given: Mapping[str, str]) -> tuple[Insertion, ...]:
    """What casts these inputs where they are made; () if one of them is made in no plain way."""
    found: list[Insertion] = []
    for name, dtype in given.items():
        value, wanted = _value(code, name.removeprefix("kwargs.")), written_dtype(code, dtype)
        if value is None or not wanted:
            return ()
        found += code.cast(value, wanted)
    return tuple(found)


def _value(code: Code, name: str) -> ast.expr | None:
    """The one expression that a function of the file gives by that name."""
    makers = [one for one in code.tree.body if isinstance(one, ast.FunctionDef) and one.name in _MAKERS]
    found = [value for maker in makers for one in ast.walk(maker) for value in _given_by(one, name)]
    return found[0] if len(found) == 1 and not isinstance(found[0], (ast.Constant, ast.Dict, ast.List)) else None


def _given_by(one: ast.AST, name: str) -> Iterator[ast.expr]:
    """What `{"x": ...}` or `dict(x=...)` gives by a name."""
    if isinstance(one, ast.Dict):
        for key, value in zip(one.keys, one.values, strict=True):
            if isinstance(key, ast.Constant) and key.value == name:
                yield value
    elif isinstance(one, ast.Call) and ast.unparse(one.func) == "dict":
        yield from (keyword.value for keyword in one.keywords if keyword.arg == name)
