"""The table of small modules and their variants, as a section of docs/truth.md."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

import torch

from tests.truth.surface import CASES, EXPLAINED, VARIANTS, cases
from tests.truth.surface_compare import Result, compare

SIGNS: Final = """\
`=` neither raises and all outputs have the real dtypes and shapes; `!` both raise in the same words, which are a
finding; `.` both raise in the same words, which end the trace; `~` both raise in other words, see below; `-` not
traced, which the report says; `X` differs.\
"""


def section(results: Iterable[Result] | None = None) -> str:
    """Figures, the table, and what is not equal and why."""
    found = list(results) if results is not None else [compare(case, variant) for case, variant in cases()]
    signs = {(r.case, r.variant): sign(r) for r in found}
    names = [variant.name for variant in VARIANTS]
    count = [*signs.values()].count
    lines = [
        f"- {len(signs)} cases ({len({r.case for r in found})} modules, {len(names)} variants): {count('=')} run with "
        f"the real dtypes and shapes, {count('!')} raise in the real words, {count('.')} end where the real run ends",
        f"- not traced: {count('-')}; other words: {count('~')}; differing: {count('X')}",
        "", SIGNS, "",
        "| module | of | " + " | ".join(names) + " |", "|---|---|" + "---|" * len(names),
    ]  # fmt: skip
    for case in CASES:
        row = " | ".join(signs.get((case.name, name), "") for name in names)
        lines.append(f"| {case.name} | {case.family} | {row} |")
    lines += ["", "The variants:", "", *[f"- {variant.name}: {variant.says}" for variant in VARIANTS]]
    lines += ["", "What is not equal, and why:", "", *_reasons(found), "", f"Versions: torch {torch.__version__}."]
    return "\n".join(lines) + "\n"


def sign(result: Result) -> str:
    """The result in one character, with what is known of the case."""
    key = result.case, result.variant
    told = not result.agrees and key in EXPLAINED and result.real.error and result.traced.error
    return "~" if told else result.sign


def _reasons(results: list[Result]) -> Iterator[str]:
    yield from (f"- `~`: {why}" for why in dict.fromkeys(EXPLAINED.values()))
    yield from (f"- `-`: {why}" for why in sorted({r.why for r in results if r.why}))
    for result in results:
        if sign(result) == "X":
            yield f"- NOT EXPLAINED: {result.case}, {result.variant}: really {result.real}, traced {result.traced}"
