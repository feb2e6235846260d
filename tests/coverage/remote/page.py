"""The table of remote codes in docs/coverage.md: how far each got, in how many commands, and what was found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tests.coverage.page import cell, table
from tests.coverage.page import write as write_part
from tests.coverage.remote.confirmed import confirmed
from tests.coverage.remote.mirrors import Code, Place
from tests.coverage.remote.tracing import AT_ONCE, BESIDE, HINTED, MISSING, STOPPED, Row


def write(codes: Sequence[Code], rows: Mapping[str, Row]) -> None:
    """Put the part into the page."""
    write_part("remote code", body(codes, rows, confirmed()))


def body(codes: Sequence[Code], rows: Mapping[str, Row], real: Mapping[str, str]) -> str:
    """The sums, what did not get to its end, what was found and what the real run did, then every row."""
    known = [(code, rows[code.title]) for code in codes if code.title in rows]
    stopped = [[code.family, code.name, cell(row.why)] for code, row in known if row.outcome in (STOPPED, MISSING)]
    found = [
        [code.family, code.name, cell(text), cell(real.get(f"{code.title} {text}", ""))]
        for code, row in known
        for text in dict.fromkeys((*row.errors, *row.warnings))
    ]
    everything = [_line(code, row, real.get(code.title, "")) for code, row in known]
    heads = ["family", "name", "class", "traced", "hint", "operations", "errors", "warnings", "really run, small",
             "s", "MiB", "from", "its config.json"]  # fmt: skip
    return "\n".join(
        [
            sums([row for _, row in known], len({code.family for code, _ in known})),
            "### Not traced to the end\n",
            table(["family", "name", "words"], stopped),
            "### Errors and warnings\n",
            table(["family", "name", "finding", "really run, small"], found),
            "### All\n",
            table(heads, everything),
        ]
    )


def _line(code: Code, row: Row, real: str) -> list[object]:
    hint = row.hint if row.hint.startswith(BESIDE) else f"`{row.hint}`" if row.hint else ""
    if row.hint.startswith(BESIDE):
        hint += "".join(f" (config.json of {_from(place)})" for _, place in code.beside)
    config = _from(code.config) if code.config else ""
    found = len(row.errors), len(row.warnings)
    return [code.family, code.name, row.model, row.outcome, hint, row.ops, *found, cell(real), row.seconds, row.mib,
            _from(code.folder), config]  # fmt: skip


def sums(rows: Sequence[Row], families: int) -> str:
    """How many were traced, and the longest and the largest of them."""
    if not rows:
        return "None.\n"
    traced = [row for row in rows if row.outcome in (AT_ONCE, HINTED)]
    lines = [
        f"Of {len(rows)} codes of {families} families, {len(traced)} are traced to their end with one command and at "
        f"most one hint: **{100 * len(traced) / len(rows):.1f} %**.\n",
        *(f"- {outcome}: {count}" for outcome in (AT_ONCE, HINTED, STOPPED, MISSING)
          if (count := sum(row.outcome == outcome for row in rows))),
    ]  # fmt: skip
    slow, large = max(rows, key=lambda row: row.seconds), max(rows, key=lambda row: row.mib)
    return "\n".join([*lines, f"- longest: {slow.name}, {slow.seconds} s; largest: {large.name}, {large.mib} MiB", ""])


def _from(place: Place) -> str:
    path = f"/{place.path}" if place.path else ""
    return f"{place.repository}@{place.revision[:10]}{path}"
