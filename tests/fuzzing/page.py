"""The figures of the fuzzer on docs/security.md, between two comments."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from tests.fuzzing.failures import Results

PAGE: Final = Path(__file__).parents[2] / "docs" / "security.md"
BEGIN, END = "<!-- fuzzing: begin -->", "<!-- fuzzing: end -->"
_PLAIN: Final = ("clean", "findings", "refused", "deadline", "memory")
_HEADS: Final = ("ran, clean", "ran, findings", "refused", "past the deadline", "past the memory")


def table(results: Results) -> str:
    """A row a kind, and their sum."""
    rows = {kind: dict(counts) for kind, counts in sorted(results.outcomes.items())}
    total: dict[str, int] = {}
    for counts in rows.values():
        for name, number in counts.items():
            total[name] = total.get(name, 0) + number
    lines = [
        f"| what was mutated | inputs | {' | '.join(_HEADS)} | faults |",
        "|---|" + "---:|" * (len(_HEADS) + 2),
        *(_row(kind, counts) for kind, counts in rows.items()),
        _row("**all**", total),
    ]
    return "\n".join(lines)


def write(results: Results, page: Path = PAGE) -> None:
    """Put the table on the page, in place of the one before."""
    text = page.read_text(encoding="utf-8") if page.is_file() else f"# Security\n\n{BEGIN}\n{END}\n"
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    page.write_text(f"{before}{BEGIN}\n{table(results)}\n{END}{after}", encoding="utf-8")


def _row(name: str, counts: dict[str, int]) -> str:
    faults = sum(number for outcome, number in counts.items() if outcome.startswith("FAULT"))
    cells = [sum(counts.values()), *(counts.get(outcome, 0) for outcome in _PLAIN), faults]
    return f"| {name} | {' | '.join(f'{number:,}' for number in cells)} |"
