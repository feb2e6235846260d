"""What a person reads on the terminal: the census, the findings by root cause, one line of totals."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from analyzer.ir.closed_sets import SEVERITIES
from analyzer.ir.dtypes import short, width
from analyzer.ir.findings import Finding, Unentered
from analyzer.report import CensusRow, Report

STYLES: Final = {"error": "bold red", "warning": "yellow", "note": "dim"}
LISTED: Final = ("error", "warning")
"""What a verdict that was recorded on the plan's own device carries."""
TENSORS: Final = 4
"""How many stored tensors of a finding are named."""
MISSED: Final = 6
"""How many modules that were never entered are named."""
_UNITS: Final = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")


def show(report: Report, console: Console) -> None:
    """Print census, findings and totals, stage by stage."""
    for one in report.stages:
        _show(one, console)


def _show(report: Report, console: Console) -> None:
    if report.plan.read:
        console.print(_plain(f"{report.plan.stage or 'plan'}: {report.plan.line()}", "bold"))
    console.print(_plain(f"{report.class_name}: {report.headline() or 'no parameters'}"))
    if report.census:
        console.print(_census(report.census))
    if stored := report.flow.inventory.checkpoint():
        console.print(_plain(f"checkpoint: {stored}"))
    found = sorted((f for f in report.findings if f.severity in LISTED), key=lambda f: f.rank)
    if found:
        console.print(findings_table(found, numbered=True))
    for assumption in report.coverage.assumptions:
        where = f" ({assumption.where})" if assumption.where else ""
        times = f" x {assumption.count}" if assumption.count > 1 else ""
        console.print(_plain(f"assumed: {assumption.what}: {assumption.value}{times}{where}"))
    if steps := report.graph.steps:
        console.print(_plain(f"steps: {', '.join(f'{step} ({ops:,} ops)' for step, ops in steps.items())}"))
    autocast = report.autocast()
    if autocast["casts"]:
        which = f" ({report.plan.autocast}, {report.plan.scope})" if report.plan.autocast else ""
        console.print(
            _plain(f"autocast{which} inserts {autocast['casts']:,} casts that write {size(autocast['bytes'])}")
        )
    if report.coverage.never_entered:
        console.print(_plain(_missed(report.coverage.never_entered)))
    if report.coverage.incomplete:
        console.print(_plain(f"incomplete: {report.coverage.incomplete}", "bold"))
    console.print(_plain(totals(report), "bold"))


def totals(report: Report) -> str:
    """One line: `1 error, 0 warnings, 3 notes; 9,029 ops`, for a stage of a recipe with its name before it."""
    counts = Counter(finding.severity for finding in report.findings)
    parts = [f"{counts[s]} {s}{'' if counts[s] == 1 else 's'}" for s in SEVERITIES]
    stage = f"{report.plan.stage}: " if report.plan.stage else ""
    return f"{stage}{', '.join(parts)}; {report.coverage.ops:,} ops" + (
        ", up to where the run stopped" if report.coverage.incomplete else ""
    )


def size(count: float) -> str:
    """Bytes for people: `3.2 GiB`; a loss keeps its sign."""
    unit = 0
    while abs(count) >= 1024 and unit + 1 < len(_UNITS):
        count /= 1024
        unit += 1
    return f"{count:.1f} {_UNITS[unit]}" if unit else f"{count:.0f} B"


def findings_table(findings: Sequence[Finding], numbered: bool = False) -> Table:
    """The findings, one a row, with the numbers that `--finding` takes if they are all that a report lists."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("finding", no_wrap=True)
    table.add_column("count", justify="right", no_wrap=True)
    table.add_column("where, what, why", overflow="fold", ratio=1)
    for number, finding in enumerate(findings, 1):
        style = STYLES[finding.severity]
        name = _plain(f"{f'#{number} ' * numbered}{finding.severity}\n{finding.code}", style)
        table.add_row(name, _plain(f"{finding.count:,}"), _plain("\n".join(story(finding))))
    return table


def story(finding: Finding) -> list[str]:
    """A finding in lines: place and call, the kernel's words, origins, what it widens, fixes."""
    place = f"{finding.file}:{finding.line}" if finding.file else ""
    call = finding.call or finding.op
    lines = [" ".join(part for part in (place, _where(finding), call and f"({call})") if part)]
    lines.append(spoken(finding))
    origins = dict.fromkeys(origin for operand in finding.operands for origin in operand.origins)
    for origin in sorted(origins, key=lambda o: -width(o.dtype))[:4]:  # the wide one is the odd one
        made = f" at {origin.file}:{origin.line}" if origin.file else ""
        why = f": {origin.reason}" if origin.reason else ""
        lines.append(f"{short(origin.dtype)} from {origin.kind} {origin.name}{made}{why}")
    if finding.widened_ops:
        lines.append(f"runs {finding.widened_ops:,} ops wide, {size(finding.widened_bytes)} more")
    if finding.tensors:
        more = f" and {len(finding.tensors) - TENSORS:,} more" if len(finding.tensors) > TENSORS else ""
        lines.append(", ".join(finding.tensors[:TENSORS]) + more)
    for fix in finding.fixes:
        proof = "proved" if fix.proved and not fix.errors_left else f"{fix.errors_left} errors left"
        lines.append(f"fix: {fix.what} ({proof if fix.proved else 'not proved'}, {size(fix.bytes)})")
    return [line for line in lines if line]


def spoken(finding: Finding) -> str:
    """The words of a finding, and whose they are where no device of that kind has said them."""
    borrowed = finding.asked.kind in ("as on CPU", "from source")
    return f"{finding.message} [{finding.asked}]" if borrowed else finding.message


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
        table.add_row(*map(_plain, cells), _plain(odd), style="bold" if odd else "")
    return table


def _where(finding: Finding) -> str:
    step = f"in {finding.step}" * bool(finding.step)
    if finding.phase:
        return f"{step} in {finding.phase} of {finding.module or 'the model'}".lstrip()
    return f"{step} {f'in {finding.module}' * bool(finding.module)}".strip()


def _plain(text: str, style: str = "") -> Text:
    """Text as it is: names may hold rich's square brackets."""
    return Text(text, style=style)
