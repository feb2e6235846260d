"""The page `docs/devices.md`: what the data file of a device says, for people."""

from __future__ import annotations

from itertools import groupby
from typing import Final

from analyzer.ir.dtypes import short
from analyzer.oracle import operator_dtypes
from analyzer.oracle.device_rows import Answers, Row

_STATED: Final = """## What PyTorch's operator database states

Each operator of `op_db` says in which dtypes {name} and the CPU have it, forward and backward;
`python -m analyzer.oracle operators` runs its samples on the CPU, and works out which kernel a restriction belongs to
(`analyzer/oracle/op_db_{device}.json`). It speaks of calls whose operands share one dtype, for the releases of torch
that are named; the newest of them that is not newer than the installed torch decides.

| kernel | {name} lacks | {name} has, the CPU lacks | stated of | torch |
|---|---|---|---|---|"""

_HEAD: Final = """# Where {name} answers otherwise than the CPU

This page is made from `analyzer/oracle/{device}.json`; `make goldens` remakes it.

The analyzer asks the CPU's kernels of the installed torch. Where {name} is known to answer otherwise, a row below
decides for a plan with `device="{device}"`; elsewhere a finding says "as on CPU". A row is *recorded* on a device
(`python -m analyzer.oracle record`, which names torch and the device) or read *from source*: in PyTorch's source
(file@commit, function) or in an issue (owner/repository#number). A recorded row replaces one from source. Where no row
speaks, PyTorch's operator database does, see the end of this page.

Dtypes are those of the tensor operands in the order of the schema; `-` is an absent one."""


def page(device: str, name: str, answers: Answers, stated: operator_dtypes.Answers) -> str:
    """The page of a device whose data files say `answers`, and what PyTorch has `stated`, as Markdown."""
    parts = [_HEAD.format(device=device, name=name)]
    parts.append(f"## Rows ({len(answers.rows)})")
    for op, of_op in groupby(answers.rows, key=lambda row: row.op):
        parts.append(f"### `{op}`")
        proofs: dict[tuple[str, str], list[Row]] = {}
        for row in of_op:
            proofs.setdefault((row.source, row.reference), []).append(row)
        parts += [_table(name, *proof, rows) for proof, rows in proofs.items()]
    parts.append("## As on CPU: both run the same check")
    parts.append("\n".join(f"- {what} ({reference})" for what, reference in answers.as_on_cpu))
    parts.append("## Unknown: no proof, so no row")
    parts.append("\n".join(f"- {what}" for what in answers.unknown))
    parts.append("\n".join([_STATED.format(device=device, name=name), *map(_stated, stated.rows)]))
    return "\n\n".join(parts) + "\n"


def _stated(row: operator_dtypes.Row) -> str:
    kernel = row.op + "".join(f", {key}={value}" for key, value in row.static)
    lacks, runs = (" ".join(map(short, dtypes)) for dtypes in (row.lacks, row.runs))
    return f"| `{kernel}` | {lacks} | {runs} | `{row.operator}` | {', '.join(row.torch)} |"


def _table(name: str, source: str, reference: str, rows: list[Row]) -> str:
    lines = [f"{source.capitalize()}: {reference}", "", f"| operands | {name} |", "|---|---|"]
    return "\n".join([*lines, *(f"| {_operands(row)} | {_answer(row)} |" for row in rows)])


def _operands(row: Row) -> str:
    shown = ", ".join(short(dtype) if dtype else "-" for dtype in row.dtypes)
    return shown + "".join(f", {key}={value}" for key, value in row.static)


def _answer(row: Row) -> str:
    return row.refused.replace("|", "\\|") if row.refused else f"runs: {', '.join(map(short, row.gives))}"
