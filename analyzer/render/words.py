"""What the formats of a report say in the same words: a finding as a story, totals, sizes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import PurePath
from typing import Final

from analyzer.ir.dtypes import short, width
from analyzer.ir.findings import Finding, Fix, Origin
from analyzer.ir.fixes.effects import Effect, values
from analyzer.ir.literal_types import SEVERITIES
from analyzer.report import Report

PARTIAL: Final = "partial verdict"
"""What every format calls the verdict over a run that stopped early."""
TENSORS: Final = 4
"""How many stored tensors of a finding are named."""
_UNITS: Final = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")


def totals(report: Report) -> str:
    """One line: `1 error, 0 warnings, 3 notes; 9,029 ops`, for a stage of a recipe with its name before it.

    Of a run that stopped early no zero is told: `partial verdict: nothing found so far, in 27 ops`.
    """
    counts = Counter(finding.severity for finding in report.findings)
    early = report.coverage.incomplete
    parts = [f"{counts[s]} {s}{'' if counts[s] == 1 else 's'}" for s in SEVERITIES if counts[s] or not early]
    stage = f"{report.plan.stage}: " if report.plan.stage else ""
    ops = f"{report.coverage.ops:,} ops"
    if not early:
        return f"{stage}{', '.join(parts)}; {ops}"
    return f"{stage}{PARTIAL}: {', '.join(parts) or 'nothing found'} so far, in {ops}"


def story(finding: Finding) -> list[str]:
    """A finding in lines: place and call, the kernel's words, origins, what it widens, fixes."""
    place = f"{finding.file}:{finding.line}" if finding.file else ""
    call = finding.call or finding.op
    lines = [" ".join(part for part in (place, _where(finding), call and f"({call})") if part)]
    lines.append(spoken(finding))
    origins = dict.fromkeys(origin for operand in finding.operands for origin in operand.origins)
    lines += [_origin(one) for one in sorted(origins, key=lambda o: -width(o.dtype))[:4]]  # the wide one is the odd one
    if finding.widened_ops:
        lines.append(f"runs {finding.widened_ops:,} ops wide, {size(finding.widened_bytes)} more")
    if finding.tensors:
        more = f" and {len(finding.tensors) - TENSORS:,} more" if len(finding.tensors) > TENSORS else ""
        lines.append(", ".join(finding.tensors[:TENSORS]) + more)
    lines += _fixes(finding)
    return [line for line in lines if line]


def noted(finding: Finding) -> str:
    """A note in one short line, without folder and module: `note DT302 model.py:174 x 2: results are kept in f32`."""
    place = f"{PurePath(finding.file).name}:{finding.line}" if finding.file else _where(finding)
    times = f"x {finding.count:,}" if finding.count > 1 else ""
    head = " ".join(part for part in (finding.severity, finding.code, place, times) if part)
    return f"{head}: {spoken(finding)}"


def spoken(finding: Finding) -> str:
    """The words of a finding, and whose they are where no device of that kind has said them."""
    borrowed = finding.asked.kind in ("as on CPU", "from source", "operator database")
    return f"{finding.message} [{finding.asked}]" if borrowed else finding.message


def size(count: float) -> str:
    """Bytes for people: `3.2 GiB`; a loss keeps its sign."""
    unit = 0
    while abs(count) >= 1024 and unit + 1 < len(_UNITS):
        count /= 1024
        unit += 1
    return f"{count:.1f} {_UNITS[unit]}" if unit else f"{count:.0f} B"


_OF_FILES: Final = "DT4"
"""Codes of what is wrong with files, for which nothing is proposed."""
NO_FIX: Final = "no proved fix here; see analyze fix"
"""What is said of an error that no cast after loading was proved to clear."""


def _where(finding: Finding) -> str:
    step = f"in {finding.step}" * bool(finding.step)
    if finding.phase:
        return f"{step} in {finding.phase} of {finding.module or 'the model'}".lstrip()
    return f"{step} {f'in {finding.module}' * bool(finding.module)}".strip()


def _origin(origin: Origin) -> str:
    made = f" at {origin.file}:{origin.line}" if origin.file else ""
    why = f": {origin.reason}" if origin.reason.text else ""
    return f"{short(origin.dtype)} from {origin.kind} {origin.name}{made}{why}"


def _fixes(finding: Finding) -> list[str]:
    """The fixes that are proved; for an error without one, where to look."""
    proved = [_fix(fix) for fix in finding.fixes if fix.proved]
    if proved or finding.severity != "error" or finding.code.startswith(_OF_FILES):
        return proved
    return [NO_FIX]


def _fix(fix: Fix) -> str:
    left = f", {fix.errors_left} error{'s' * (fix.errors_left > 1)} left" if fix.errors_left else ""
    outputs = f"; {fix.outputs}" if fix.outputs else ""
    return f"fix: {fix.what} (proved{left}, {cost(fix.bytes, fix.values)}{outputs})"


def cost(count: int, effects: Iterable[Effect]) -> str:
    """What a fix costs, and what it may change in the values: `-16 B; values: f32 rounded to bf16 (8 bits): table`."""
    return f"memory {'+' * (count > 0)}{size(count)}; {values(effects)}"
