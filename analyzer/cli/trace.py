"""`analyze trace`: from a model folder to findings on the terminal, and files."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

import click

from analyzer.cli.examples import EXAMPLES, SUMMARIES
from analyzer.cli.exit_codes import verdict
from analyzer.cli.messages import complain, progress
from analyzer.cli.options import Asked, allow_incomplete, notes, plan_options
from analyzer.cli.outputs import STDOUT_FORMAT, check_targets, chosen, deliver_scripts, delivered, for_people, rendered
from analyzer.input_files import Inputs
from analyzer.ir.literal_types import Severity
from analyzer.output_files import STDOUT

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
@allow_incomplete
@notes
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def trace_command(
    asked: Asked, out: tuple[str, ...], repro: Path | None, focus: str, finding: int, link_base: str, fail_on: str,
    allow_incomplete: bool, notes: bool,
) -> int:  # fmt: skip
    """Trace the model in MODEL_DIR and report what does not fit.

    MODEL_DIR is a folder, a *.py or *.pt2 file, or the hub id of a model in the Hugging Face cache, such as ORG/NAME.

    Exit code: 0 ran to its end and nothing found, 1 something found (see --fail-on), 2 could not run, stopped early,
    or nothing found but a file could not be written.
    """
    check_targets(tuple(dict.fromkeys(out)), Inputs.of([asked.request]), repro)
    from analyzer.picture import PLAIN, Look

    look = Look(focus, finding, link_base)
    with progress() as tell:
        from rich.console import Console

        from analyzer.render import FORMATS, terminal

        targets = chosen(out, FORMATS, STDOUT_FORMAT)
        from analyzer import pipeline

        with pipeline.worker(asked.workers, [asked.request], complain, tell) as worker:
            report, ended = pipeline.trace(worker, asked.request, tell)
        if look != PLAIN:
            report = report.seen(look)
        tell("drawing")
        files = rendered(report, targets)
    written = delivered(files) and len(files) == len(targets)
    if repro is not None:
        written = deliver_scripts(report, repro) and written
    with for_people():
        terminal.show(report, Console(file=sys.stderr if STDOUT in out else sys.stdout), notes)
    found = any(finding.severity in FAILS_ON[fail_on] for _, finding in report.found())
    return verdict(found=found, incomplete=report.incomplete, ended=ended, allowed=allow_incomplete, written=written)
