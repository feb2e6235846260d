"""`analyze trace`: from a model folder to findings on the terminal, and files."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from analyzer.cli.examples import EXAMPLES, SUMMARIES
from analyzer.cli.messages import complain, progress
from analyzer.cli.options import Asked, plan_options
from analyzer.deliver import STDOUT, check_file, check_folder, deliver, deliver_folder
from analyzer.errors import AnalyzerError
from analyzer.gc_paused import gc_paused

if TYPE_CHECKING:
    from analyzer.ir.closed_sets import Severity
    from analyzer.report import Report

CLEAN, FOUND = 0, 1
"""Exit codes: nothing found, something found."""
STDOUT_FORMAT: Final = ".svg"
FAILS_ON: Final[dict[str, tuple[Severity, ...]]] = {"error": ("error",), "warning": ("error", "warning"), "never": ()}


@click.command("trace", short_help=SUMMARIES["trace"], epilog=EXAMPLES["trace"])
@click.option("--out", multiple=True, metavar="F", help="Write a file; the suffix says the format. '-': SVG to stdout.")
@click.option(
    "--repro",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Write a short script for each error.",
)
@click.option("--focus", default="", metavar="MODULE", help="Draw one module, operation by operation.")
@click.option("--finding", type=int, default=0, metavar="N", help="Draw the surroundings of one finding.")
@click.option("--link-base", default="", metavar="URL", help="Where the folder is on the web, for links to lines.")
@plan_options
@click.option(
    "--fail-on", type=click.Choice(list(FAILS_ON)), default="error", show_default=True, help="What makes the exit 1."
)
@click.option("--require-complete", is_flag=True, help="Exit 2 if the run of the model stops early.")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def trace_command(
    asked: Asked, out: tuple[str, ...], repro: Path | None, focus: str, finding: int, link_base: str, fail_on: str,
    require_complete: bool, debug: bool,
) -> int:  # fmt: skip
    """Trace the model in MODEL_DIR and report what does not fit.

    Exit code: 0 nothing found, 1 something found (see --fail-on), 2 could not run.
    """
    for target in _files(out):
        check_file(Path(target))
    if repro is not None:
        check_folder(repro)
    plans = asked.plans()
    from analyzer.picture import PLAIN, Look

    look = Look(focus, finding, link_base)
    with progress() as tell:
        tell("importing torch")
        from rich.console import Console

        from analyzer.render import FORMATS, terminal

        _check_suffixes(out, FORMATS)
        from analyzer.actions.trace import run_stages

        report = run_stages(
            asked.model_dir,
            plans,
            trust_remote_code=asked.trust_remote_code,
            inputs_file=asked.inputs,
            stubs=asked.stubs,
            steps=asked.steps,
            progress=tell,
        )
        if look != PLAIN:
            report = report.seen(look)
        tell("drawing")
        with gc_paused():
            rendered = _render(report, out, FORMATS)
    terminal.show(report, Console(file=sys.stderr if STDOUT in out else sys.stdout))
    for target, data in rendered.items():
        deliver(target, data)
    if repro is not None:
        _deliver_scripts(report, repro)
    if require_complete and (stopped := [c for one in report.stages if (c := one.coverage.incomplete)]):
        raise AnalyzerError(f"not complete: {stopped[0]}", hint="without --require-complete the part counts")
    return FOUND if any(finding.severity in FAILS_ON[fail_on] for _, finding in report.found()) else CLEAN


def _check_suffixes(out: Sequence[str], formats: Mapping[str, Any]) -> None:
    for name in _files(out):
        if Path(name).suffix.lower() not in formats:
            raise AnalyzerError(f"unknown output format: {name}", hint=f"use one of {', '.join(formats)}")


def _deliver_scripts(report: Report, folder: Path) -> None:
    """Write the scripts; name on stderr each error that has none, and why."""
    from analyzer.render.repro import render
    from analyzer.report import no_script

    deliver_folder(folder, render(report))
    for one, finding in report.found():
        if reason := no_script(one.graph, finding):
            complain(f"no script for {finding.code} at {finding.file}:{finding.line}: {reason}")


def _files(out: Sequence[str]) -> list[str]:
    return [name for name in out if name != STDOUT]


def _render(report: Report, out: Sequence[str], formats: Mapping[str, Callable[[Report], bytes]]) -> dict[str, bytes]:
    """Bytes for each target; a format that fails is named on stderr and keeps no other from its file."""
    rendered = {}
    for target in dict.fromkeys(out):
        suffix = STDOUT_FORMAT if target == STDOUT else Path(target).suffix.lower()
        try:
            rendered[target] = formats[suffix](report)
        except AnalyzerError as error:
            complain(f"{target} not written: {error}")
    return rendered
