"""Proposed fixes side by side: a table for the terminal, JSON and Markdown for files, unified diffs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from difflib import unified_diff
from string import whitespace
from textwrap import wrap
from typing import Final, Literal

from rich.console import Console
from rich.table import Table
from rich.text import Text

from analyzer.escaping import as_json, as_markdown
from analyzer.ir.fixes.proposals import Edit, Trial
from analyzer.printable import shown
from analyzer.render.terminal import guarded, plain
from analyzer.render.words import PARTIAL, cost, size
from analyzer.report.json_value import Json

WIDE: Final = 110
"""Columns from which on a terminal shows the table; a narrower one shows a block for each proposal."""
_COLUMNS: Final = ("fix", "verdict", "errors left", "new promotions", "memory", "places", "values")


def show(
    trials: Sequence[Trial], console: Console, errors: int, diffs: bool = False, incomplete: str = ""
) -> None:  # fmt: skip
    """Print the proposals, best first, and the diffs of source casts where these are wanted.

    `incomplete` says why a run stopped early, so that all verdicts hold up to there alone.
    """
    with guarded(console):
        if incomplete:
            console.print(plain(_partial(incomplete), "bold"))
        _show(trials, console, f"{errors} error{'' if errors == 1 else 's'}" if errors else "", diffs, incomplete)


def _partial(incomplete: str) -> str:
    return f"{PARTIAL}: {incomplete}; what is said of errors holds up to there"


def _show(trials: Sequence[Trial], console: Console, errors: str, diffs: bool, incomplete: str) -> None:
    so_far = " so far" if incomplete else ""
    if not trials:
        left = f"nothing to fix{so_far}: no error found"
        console.print(f"no fix is known; {errors}{so_far}" if errors else left)
        return
    if errors:
        console.print(f"{errors}{so_far}; what could help, best first:")
    if console.width >= WIDE:
        _as_table(trials, console)
    else:
        _as_blocks(trials, console)
    for trial in trials if diffs else ():
        console.print(plain(diff(trial), kept="\n\t\r"), end="", soft_wrap=True)


def _as_table(trials: Sequence[Trial], console: Console) -> None:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for name in _COLUMNS[:-1]:
        words = name in ("fix", "verdict")
        justify: Literal["left", "right"] = "left" if words else "right"
        table.add_column(name.replace(" ", "\n"), justify=justify, overflow="fold", ratio=1 if name == "fix" else None)
    for trial in trials:
        what, _, *numbers, values = _cells(trial)
        cells = (f"{shown(what)}\n  {values}" if values else what, trial.outcome, *numbers)
        strong = "bold" if trial.clears and trial.proved else ""
        table.add_row(*(plain(cell, strong, kept="\n") for cell in cells))
    console.print(table)
    for trial in trials:  # a reason is a sentence, too long for a column
        if trial.why:
            console.print(plain(f"{trial.proposal.what}: {trial.why}"))


def _as_blocks(trials: Sequence[Trial], console: Console) -> None:
    """A few lines for each: what it is, the verdict, what it costs."""
    margin = len(str(len(trials))) + 2
    for number, trial in enumerate(trials, 1):
        said = (trial.proposal.what, trial.verdict(), *([_cost(trial)] if trial.ran else []))
        width = max(console.width - margin, 20)
        folded = [wrap(shown(text, whitespace), width, break_on_hyphens=False) for text in said]
        bold = len(folded[0]) if trial.clears and trial.proved else 0
        for row, line in enumerate(line for lines in folded for line in lines):
            start = f"{number}.".ljust(margin) if row == 0 else " " * margin
            console.print(Text.assemble(start, (line, "bold" if row < bold else "")), soft_wrap=True)


def _cost(trial: Trial) -> str:
    promotions = trial.new_promotions
    parts = [
        f"{trial.places} place{'' if trial.places == 1 else 's'}",
        *([trial.casts] if trial.casts else []),
        cost(trial.bytes, trial.effects),
        *([f"{promotions} new promotion{'' if promotions == 1 else 's'}"] if promotions else []),
        *([trial.outputs] if trial.outputs else []),
    ]
    return "; ".join(parts)


def diff(trial: Trial) -> str:
    """The source changes of a proposal as a unified diff; "" where it has none."""
    return "".join(map(unified, trial.proposal.edits))


def unified(edit: Edit) -> str:
    """A source change as a unified diff."""
    before, after = edit.before.splitlines(keepends=True), edit.after.splitlines(keepends=True)
    return "".join(unified_diff(before, after, f"a/{edit.file}", f"b/{edit.file}"))


def to_json(trials: Sequence[Trial], incomplete: str = "") -> bytes:
    """The table as data."""
    table = {"schema": 1, "incomplete": incomplete or None, "fixes": [_plain(trial) for trial in trials]}
    return (as_json(table, 2) + "\n").encode()


def to_markdown(trials: Sequence[Trial], incomplete: str = "") -> bytes:
    """The table for a document."""
    rows = [_COLUMNS, ("---",) * len(_COLUMNS), *(_cells(trial) for trial in trials)]
    early = f"> {as_markdown(_partial(incomplete))}\n\n" if incomplete else ""
    return (early + "".join(f"| {' | '.join(map(as_markdown, row))} |\n" for row in rows)).encode()


def _cells(trial: Trial) -> tuple[str, ...]:
    what = f"{trial.proposal.what} ({trial.casts})" if trial.casts else trial.proposal.what
    if not trial.ran:
        return (what, trial.verdict(), "", "", "", "", "")
    numbers = (str(trial.errors_left), str(trial.new_promotions), size(trial.bytes), str(trial.places))
    return (what, trial.verdict(), *numbers, trial.values)


def _plain(trial: Trial) -> dict[str, Json]:
    ran = trial.ran
    return {
        "kind": trial.proposal.kind,
        "what": trial.proposal.what,
        "change": dict(trial.proposal.change),
        "verdict": trial.verdict(),
        "ran": ran,
        "proved": trial.proved,
        "real": {"kind": trial.real.kind, "why": trial.real.why or None} if trial.helps or trial.real.why else None,
        "errors_before": trial.errors_before,
        "errors_left": trial.errors_left if ran else None,
        "new_promotions": trial.new_promotions if ran else None,
        "bytes": trial.bytes if ran else None,
        "places": trial.places if ran else None,
        "casts": trial.casts or None,
        "new_warnings": trial.new_warnings if ran else None,
        "outputs": trial.outputs or None,
        "losses": trial.losses if ran else None,
        "values": trial.values if ran else None,
        "effects": [asdict(one) | {"exact": one.exact} for one in trial.effects],
        "diff": diff(trial) or None,
    }
