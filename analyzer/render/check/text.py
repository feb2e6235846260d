"""A check for people: what is new, what else there is, and one line of totals."""

from __future__ import annotations

import io

from rich.console import Console

from analyzer.check import Check
from analyzer.check.judgement import JUDGED
from analyzer.render.check.words import early, headline, remarks
from analyzer.render.terminal import findings_table, guarded, one_line, plain
from analyzer.render.words import noted

WIDTH = 100
"""Columns of a text that no terminal shows."""


def render(check: Check) -> bytes:
    """The same text as `show`, without colour."""
    text = io.StringIO()
    show(check, Console(file=text, width=WIDTH, color_system=None))
    return text.getvalue().encode("utf-8", "backslashreplace")


def show(check: Check, console: Console) -> None:
    """Print the findings, new ones first, each with its state; then notes, remarks and totals."""
    with guarded(console):
        _show(check, console)


def _show(check: Check, console: Console) -> None:
    for state in ("new", "known", "suppressed"):
        found = [one for one in check.judged if one.state == state]
        if found:
            console.print(plain(f"{state}:", "bold"))
        if found and state == "suppressed":
            for one in found:
                console.print(plain(f"{one.finding.code} at {one.spot.path}:{one.spot.line}: {one.reason}"))
        elif found:
            console.print(findings_table([one.finding for one in found]))
            for one in found:
                if one.stages:
                    console.print(
                        plain(f"{one.finding.code} at {one.spot.path}:{one.spot.line}: in {', '.join(one.stages)}")
                    )
    _notes(check, console)
    for said in filter(None, (early(check), *remarks(check))):
        console.print(plain(said))
    console.print(plain(f"{check.folder}: {headline(check)}", "bold"))


def _notes(check: Check, console: Console) -> None:
    """What is not judged, one line each, or with its details; what several stages show is told once."""
    notes = (one for _, one in check.report.found() if one.severity not in JUDGED)
    found = {(one.code, one.file, one.line, one.module, one.message): one for one in notes}
    if found:
        console.print(plain("notes:", "bold"))
    if found and check.notes:
        console.print(findings_table(list(found.values())))
        return
    for words in dict.fromkeys(map(noted, found.values())):
        one_line(words, console)
