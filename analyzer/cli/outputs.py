"""What `trace`, `draw` and `diff` share: the files that are asked for, checked, then rendered, then delivered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from analyzer.cli.messages import complain
from analyzer.errors import AnalyzerError
from analyzer.gc_paused import gc_paused
from analyzer.output_files import STDOUT, check_file, check_folder, deliver_folder
from analyzer.render.formats import Format, Subject

if TYPE_CHECKING:
    from analyzer.report import Report

STDOUT_FORMAT: Final = ".svg"
"""What `--out -` writes of a report."""


def check_targets(out: Sequence[str], scripts: Path | None = None) -> None:
    """Refuse, before the slow part, files and a folder that cannot be written. Raises AnalyzerError."""
    for name in out:
        if name != STDOUT:
            check_file(Path(name))
    if scripts is not None:
        check_folder(scripts)


def chosen(out: Sequence[str], formats: Mapping[str, Format[Subject]], stdout: str = "") -> dict[str, Format[Subject]]:
    """Target -> its format, each target once; `stdout` is the suffix that `-` stands for.

    Raises AnalyzerError for a suffix without a format.
    """
    found = {}
    for name in out:
        suffix = stdout if name == STDOUT else Path(name).suffix.lower()
        if suffix not in formats:
            raise AnalyzerError(f"unknown output format: {name}", hint=f"use one of {', '.join(formats)}")
        found[name] = formats[suffix]
    return found


def rendered(subject: Subject, targets: Mapping[str, Format[Subject]]) -> dict[str, bytes]:
    """Bytes for each target; a format that fails is named on stderr and keeps no other from its file."""
    made = {}
    with gc_paused():
        for target, render in targets.items():
            try:
                made[target] = render(subject)
            except AnalyzerError as error:
                complain(f"{target} not written: {error}")
    return made


def deliver_scripts(report: Report, folder: Path) -> None:
    """Write a script for each error; name on stderr each error that has none, and why."""
    from analyzer.render.repro import render, unwritten

    deliver_folder(folder, render(report))
    for one, finding in report.found():
        if reason := unwritten(one, finding):
            complain(f"no script for {finding.code} at {finding.file}:{finding.line}: {reason}")
