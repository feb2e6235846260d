"""What the commands share: the files that are asked for, checked, then rendered, then delivered, then the terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from analyzer.cli.messages import complain, complain_of_fault, silence
from analyzer.errors import AnalyzerError
from analyzer.gc_paused import gc_paused
from analyzer.input_files import Inputs, same
from analyzer.output_files import STDOUT, check_file, check_folder, deliver, deliver_folder
from analyzer.render.formats import Format, Subject

if TYPE_CHECKING:
    from analyzer.report import Report

STDOUT_FORMAT: Final = ".svg"
"""What `--out -` writes of a report."""


def check_targets(out: Sequence[str], inputs: Inputs, scripts: Path | None = None) -> None:
    """Refuse, before the slow part, outputs that cannot be written or that the run reads. Raises AnalyzerError."""
    files = [Path(name) for name in out if name != STDOUT]
    if len(out) - len(files) > 1:
        raise AnalyzerError("standard output can have but one output", hint="give the other one a file")
    for file in files:
        check_file(file)
        inputs.refuse(file)
    for number, file in enumerate(files):
        if twin := next((one for one in files[:number] if same(one, file)), None):
            raise AnalyzerError(f"{twin} and {file} are one file", hint="give each output a file of its own")
    if scripts is not None:
        check_folder(scripts)
        inputs.refuse_folder(scripts)


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
            except Exception as error:
                complain_of_fault(error, f"{target} not written: ")
    return made


def delivered(files: Mapping[str, bytes]) -> bool:
    """Write the files, each on its own, then what stdout shall have; whether all arrived. What did not is told.

    Whoever reads stdout may have had enough of it: what he got is what he wanted.
    """
    complete = True
    for target in sorted(files, key=STDOUT.__eq__):  # stdout last: it may be closed, or never be read
        try:
            deliver(target, files[target])
        except BrokenPipeError:
            silence(1)
        except AnalyzerError as error:
            complain(str(error))
            complete = False
        except OSError as error:
            silence(1)
            complain(f"standard output cannot be written: {error.strerror}")
            complete = False
    return complete


@contextmanager
def for_people() -> Iterator[None]:
    """What is printed meanwhile is for whoever reads: that stdout is closed or full changes no verdict, and is told."""
    try:
        yield
        if sys.stdout is not None:
            sys.stdout.flush()
    except BrokenPipeError:
        silence(1)
    except OSError as error:
        silence(1)
        complain(f"standard output cannot be written: {error.strerror}")


def deliver_scripts(report: Report, folder: Path) -> bool:
    """Write a script for each error, and whether that succeeded; name on stderr each error that has none, and why."""
    from analyzer.render.repro import render, unwritten

    try:
        deliver_folder(folder, render(report))
    except AnalyzerError as error:
        complain(str(error))
        return False
    for one, finding in report.found():
        if reason := unwritten(one, finding):
            complain(f"no script for {finding.code} at {finding.file}:{finding.line}: {reason}")
    return True
