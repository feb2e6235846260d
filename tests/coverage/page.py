"""The tables of docs/coverage.md: how far each model got, and the reasons where it was not to its end."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import torch
import transformers

from tests.coverage.cases import Case
from tests.coverage.confirmed import confirmed
from tests.coverage.explained import OTHERS, REAL_TOO
from tests.coverage.running import BUILD, INPUTS, LIMIT, NO_DEFAULT, PARTIAL, TRACED, Row, count, lacking
from tests.pages import placed

PAGE: Final = Path(__file__).parents[2] / "docs" / "coverage.md"
WORDS: Final = {
    TRACED: "traced to its end",
    PARTIAL: "stopped on the way",
    INPUTS: "no inputs found",
    BUILD: "cannot be built",
    NO_DEFAULT: "has no default that transformers can build",
    LIMIT: "over the limits",
}
"""Outcome -> how the page calls it, best first."""


def write(name: str, body: str) -> None:
    """Put a part into the page, in the place of the one that this version of transformers had under the name."""
    head = f"## transformers {transformers.__version__}: {name}\n\nWith torch {torch.__version__}.\n\n"
    old = PAGE.read_text(encoding="utf-8") if PAGE.exists() else ""
    PAGE.write_text(placed(old, head + body), encoding="utf-8")


def architectures(cases: Sequence[Case], rows: Mapping[str, Row]) -> str:
    """The part on classes in their default configs: the sums, what did not get to its end and why, then every row."""
    known = [(case, rows[case.name]) for case in cases if case.name in rows]
    failed = [row for _, row in known if row.outcome != TRACED]
    reasons = [[row.name, WORDS[row.outcome], cell(row.why), _reason(row)] for row in failed]
    everything = [
        [case.model_type, case.cls, _tasks(case), WORDS[row.outcome], row.ops, len(row.errors), len(row.warnings),
         row.loss.partition(":")[0], row.seconds, row.mib]
        for case, row in known
    ]  # fmt: skip
    heads = ["type", "class", "tasks", "outcome", "operations", "errors", "warnings", "loss", "s", "MiB"]
    return "\n".join(
        [
            _shares([row for _, row in known]),
            _sums([row for _, row in known]),
            "### Not traced to the end\n",
            table(["class", "outcome", "words", "looked into"], reasons),
            *_losses([row for _, row in known]),
            "### Errors and warnings in one dtype\n",
            _findings([row for _, row in known], confirmed()),
            "### All\n",
            table(heads, everything),
        ]
    )


def published(rows: Sequence[Row], sources: Mapping[str, str]) -> str:
    """The part on configs as they are published; `sources` says where each comes from."""
    cells = [
        [row.name, sources.get(row.name, ""), WORDS[row.outcome], row.ops, len(row.errors), len(row.warnings),
         row.seconds, row.mib, cell(row.why)]
        for row in rows
    ]  # fmt: skip
    heads = ["folder", "from", "outcome", "operations", "errors", "warnings", "s", "MiB", "what is missing"]
    return "\n".join([_sums(rows), table(heads, cells), "### Errors and warnings\n", _findings(rows)])


def _findings(rows: Sequence[Row], real: Mapping[str, str] | None = None) -> str:
    """What was found; `real` says of a class what its real run did up to its first error."""
    told: set[str] = set()
    said = []
    for row in rows:
        for text in dict.fromkeys((*row.errors, *row.warnings)):
            first = row.name not in told and text in row.errors
            told |= {row.name} if first else set()
            said.append([row.name, cell(text), *([cell((real or {}).get(row.name, "") * first)] if real else [])])
    return table(["class", "finding", *(["first error, really run"] if real else [])], said)


def _losses(rows: Sequence[Row]) -> list[str]:
    """Where labels could be made and no loss came of them, with the model's words; nothing where there is none."""
    said = [[row.name, cell(row.loss.partition(": ")[2])] for row in rows if row.loss.startswith("not taken")]
    return ["### No loss of the labels that were made\n", table(["class", "words"], said)] if said else []


def _shares(rows: Sequence[Row]) -> str:
    """How much is traced, of what transformers can build and of what it can run."""
    traced = sum(row.outcome == TRACED for row in rows)
    built = sum(row.outcome != NO_DEFAULT for row in rows)
    run = built - sum(row.outcome != TRACED and row.name in REAL_TOO for row in rows)
    missing = sorted({found for row in rows if row.outcome == NO_DEFAULT and (found := lacking(row.why))})
    beside = [row.beside for row in rows if row.beside]
    taken = f"; for {len(beside)} classes {', '.join(sorted(set(beside)))} was taken from beside" if beside else ""
    return (
        f"Traced of the {built} that transformers can build: **{100 * traced / max(built, 1):.1f} %**; of the {run} "
        f"that it can run: {100 * traced / max(run, 1):.1f} %. "
        f"Packages that are missing here: {', '.join(missing) or 'none'}{taken}.\n"
    )


def _sums(rows: Sequence[Row]) -> str:
    counts = count(list(rows))
    lines = [f"- {words}: {counts[outcome]}" for outcome, words in WORDS.items() if counts[outcome]]
    if rows:
        slow, large = max(rows, key=lambda row: row.seconds), max(rows, key=lambda row: row.mib)
        lines.append(f"- longest: {slow.name}, {slow.seconds} s; largest: {large.name}, {large.mib} MiB")
    return "\n".join([*lines, ""])


def _reason(row: Row) -> str:
    if (package := lacking(row.why)) and row.outcome == NO_DEFAULT:
        return f"{package} is not installed"
    return f"the real model stops too: {REAL_TOO[row.name]}" if row.name in REAL_TOO else OTHERS.get(row.name, "")


def _tasks(case: Case) -> str:
    """The auto classes, in short.

    >>> _tasks(Case("bert", "BertForMaskedLM", ("MODEL_FOR_MASKED_LM", "MODEL_FOR_PRETRAINING")))
    'masked lm, pretraining'
    """
    return ", ".join(task.removeprefix("MODEL_FOR_").replace("_", " ").lower() for task in case.tasks)


def cell(text: str) -> str:
    """Text that cannot break a table."""
    return re.sub(r"\s+", " ", text).replace("|", "\\|").replace("<", "&lt;")[:300]


def table(heads: list[str], rows: Sequence[Sequence[object]]) -> str:
    """Rows under heads."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines) + "\n"
