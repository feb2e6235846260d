"""What a person reads on the terminal: the census, the findings by root cause, one line of totals."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from analyzer.ir.dtypes import short
from analyzer.ir.findings import Coverage, Finding, Unentered
from analyzer.printable import logged, shown
from analyzer.render.words import noted, size, story, totals
from analyzer.report import CensusRow, Report

STYLES: Final = {"error": "bold red", "warning": "yellow", "note": "dim"}
LISTED: Final = ("error", "warning")
MISSED: Final = 6
"""How many modules that were never entered are named."""


def show(report: Report, console: Console, notes: bool = False) -> None:
    """Print census, findings and totals, stage by stage; `notes`: with the details of notes."""
    with guarded(console):
        for one in report.stages:
            _show(one, console, notes)


@contextmanager
def guarded(console: Console) -> Iterator[None]:
    """What is printed meanwhile holds no command to a CI's log, wherever its lines were folded."""
    with console.capture() as held:
        yield
    console.file.write(logged(held.get()))
    console.file.flush()


def _show(report: Report, console: Console, notes: bool) -> None:
    if report.plan.read:
        console.print(plain(f"{report.plan.stage or 'plan'}: {report.plan.line()}", "bold"))
    console.print(plain(f"{report.class_name}: {report.headline() or 'no parameters'}"))
    if report.census:
        console.print(_census(report.census))
    if stored := report.flow.inventory.checkpoint():
        console.print(plain(f"checkpoint: {stored}"))
    found = sorted(report.findings, key=lambda f: f.rank)
    detailed = [f for f in found if notes or f.severity in LISTED]
    if detailed:
        console.print(findings_table(detailed, numbered=True))
    for number, finding in enumerate(found[len(detailed) :], len(detailed) + 1):
        one_line(f"#{number} {noted(finding)}", console)
    for line in (*_trace_facts(report), *_gaps(report.coverage)):
        console.print(line)
    console.print(plain(totals(report), "bold"))


def _trace_facts(report: Report) -> Iterator[Text]:
    """What was assumed, the forward passes, and what autocast adds."""
    for assumption in report.coverage.assumptions:
        if assumption.kind == "as_processed":  # no assumption but what follows from one
            yield plain(f"{assumption.what}: {assumption.value}")
            continue
        where = f" ({assumption.where})" if assumption.where else ""
        times = f" x {assumption.count}" if assumption.count > 1 else ""
        yield plain(f"assumed: {assumption.what}: {assumption.value}{times}{where}")
    if steps := report.graph.steps:
        yield plain(f"steps: {', '.join(f'{step} ({ops:,} ops)' for step, ops in steps.items())}")
    autocast = report.autocast()
    if autocast["casts"]:
        which = f" ({report.plan.autocast}, {report.plan.scope})" if report.plan.autocast else ""
        yield plain(f"autocast{which} inserts {autocast['casts']:,} casts that write {size(autocast['bytes'])}")


def _gaps(coverage: Coverage) -> Iterator[Text]:
    """What the trace did not see."""
    if coverage.never_entered:
        yield plain(_missed(coverage.never_entered))
    if coverage.incomplete:
        yield plain(f"incomplete: {coverage.incomplete}", "bold")


def findings_table(findings: Sequence[Finding], numbered: bool = False) -> Table:
    """The findings, one a row, with the numbers that `--finding` takes if they are all that a report lists."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("finding", no_wrap=True)
    table.add_column("count", justify="right", no_wrap=True)
    table.add_column("where, what, why", overflow="fold", ratio=1)
    for number, finding in enumerate(findings, 1):
        style = STYLES[finding.severity]
        name = plain(f"{f'#{number} ' * numbered}{finding.severity}\n{shown(finding.code)}", style, "\n")
        table.add_row(name, plain(f"{finding.count:,}"), plain("\n".join(story(finding)), kept="\n"))
    return table


def one_line(text: str, console: Console) -> None:
    """Print a note: what does not fit into the line is left out."""
    console.print(plain(text, STYLES["note"]), no_wrap=True, overflow="ellipsis")


def _missed(missed: Sequence[Unentered]) -> str:
    """One line: `never entered: vpm (412,442,352 parameters)`."""
    parts = [f"{one.module} ({one.parameters:,} parameters)" for one in missed[:MISSED]]
    more = [f"{len(missed) - MISSED} more"] if len(missed) > MISSED else []
    return f"never entered: {', '.join(parts + more)}"


def _census(census: tuple[CensusRow, ...]) -> Table:
    dtypes: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
    for row in census:
        dtypes[row.component, row.kind].add(row.dtype)
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for name in ("component", "kind", "dtype"):
        table.add_column(name, overflow="fold")
    for name in ("count", "size"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("odd ones", overflow="fold")
    for row in census:
        cells = (row.component or "(model)", row.kind, short(row.dtype), f"{row.count:,}", size(row.bytes))
        odd = ", ".join(row.names) if len(dtypes[row.component, row.kind]) > 1 else ""
        table.add_row(*map(plain, cells), plain(odd), style="bold" if odd else "")
    return table


def plain(text: str, style: str = "", kept: str = "") -> Text:
    """Text as it is, in one line: names may hold rich's square brackets, and what a terminal obeys."""
    return Text(shown(text, kept), style=style)
