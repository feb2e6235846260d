"""`analyze draw`: every picture and page of a report that was saved as JSON, without the model and without torch."""

from __future__ import annotations

from pathlib import Path

import click

from analyzer.cli.examples import EXAMPLES, SUMMARIES
from analyzer.cli.outputs import STDOUT_FORMAT, check_targets, chosen, deliver_scripts, delivered, rendered
from analyzer.errors import AnalyzerError
from analyzer.input_files import Inputs
from analyzer.render import FORMATS

DRAWN, NOT_DRAWN = 0, 2
"""Exit codes: every file was written, some file was not."""


@click.command("draw", short_help=SUMMARIES["draw"], epilog=EXAMPLES["draw"])
@click.argument("report_file", type=click.Path(path_type=Path), metavar="REPORT.json")
@click.option("--out", multiple=True, metavar="F", help="Write a file; the suffix says the format. '-': SVG to stdout.")
@click.option("--repro", type=click.Path(path_type=Path), metavar="DIR", help="Write a short script for each error.")
@click.option("--focus", default="", metavar="MODULE", help="Draw one module, operation by operation.")
@click.option("--finding", type=int, default=0, metavar="N", help="Draw the surroundings of one finding.")
@click.option("--link-base", default="", metavar="URL", help="Where the folder is on the web, for links to lines.")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def draw_command(
    report_file: Path, out: tuple[str, ...], repro: Path | None, focus: str, finding: int, link_base: str, debug: bool
) -> int:
    """Draw a report that `analyze trace --out REPORT.json` saved: the same bytes as that run writes.

    Exit code: 0 all files were written, 2 could not run, or a file could not be laid out or written.
    """
    if not out and repro is None:
        raise AnalyzerError("nothing is to be drawn", hint="give --out graph.svg")
    check_targets(tuple(dict.fromkeys(out)), Inputs((report_file,)), repro)
    targets = chosen(out, FORMATS, STDOUT_FORMAT)
    from analyzer.picture.view_options import PLAIN, Look
    from analyzer.report.reader import read_report

    look = Look(focus, finding, link_base)
    report = read_report(report_file)
    if look != PLAIN:
        report = report.seen(look)
    files = rendered(report, targets)
    written = delivered(files) and len(files) == len(targets)
    if repro is not None:
        written = deliver_scripts(report, repro) and written
    return DRAWN if written else NOT_DRAWN
