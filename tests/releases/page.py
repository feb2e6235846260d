"""docs/versions.md: the table of releases, between two comments, from the rows kept in rows.json."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from packaging.version import Version

from tests.releases.models import MODELS

PAGE: Final = Path(__file__).parents[2] / "docs" / "versions.md"
ROWS: Final = Path(__file__).with_name("rows.json")
BEGIN, END = "<!-- releases: begin -->", "<!-- releases: end -->"

Row = Mapping[str, Any]
Rows = Mapping[str, Sequence[Row]]


def kept() -> Rows:
    """Release -> its rows."""
    rows: Rows = json.loads(ROWS.read_text(encoding="utf-8")) if ROWS.is_file() else {}
    return rows


def keep(release: str, rows: Sequence[Row]) -> None:
    """Put the rows of a release in place of those of its minor release."""
    minor = Version(release).release[:2]
    others = {name: old for name, old in kept().items() if Version(name).release[:2] != minor}
    everything = dict(sorted({**others, release: rows}.items(), key=lambda one: Version(one[0])))
    ROWS.write_text(json.dumps(everything, indent=1) + "\n", encoding="utf-8")


def table(rows: Rows) -> str:
    """A line for each release, newest first."""
    lines = [
        f"| transformers | {' | '.join(MODELS)} | equal to the real run |",
        "|---|" + "---|" * (len(MODELS) + 1),
    ]
    for release in reversed(rows):
        of = {row["model"]: row for row in rows[release]}
        cells = [cell(of[model]) if model in of else "no outcome" for model in MODELS]
        lines.append(f"| {release} | {' | '.join(cells)} | {sum(map(is_equal, of.values()))} of {len(MODELS)} |")
    return "\n".join(lines)


def is_equal(row: Row) -> bool:
    """Whether the trace ended, and the real run of the checkpoint differs in nothing."""
    return not row["wrong"] and not row["stop"]


def cell(row: Row) -> str:
    """What became of a model, in words."""
    if row["stop"]:
        return f"not traced: {row['stop']}".replace("|", "\\|")
    words = f"{row['ops']} operations"
    if row["found"]:
        words += f", {', '.join(row['found'])}"
        words += "; raises" if row["real"] else "; runs with a checkpoint"
    return words


def write() -> None:
    """Put the table on the page, in place of the one before."""
    text = PAGE.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    PAGE.write_text(f"{before}{BEGIN}\n{table(kept())}\n{END}{rest.partition(END)[2]}", encoding="utf-8")
