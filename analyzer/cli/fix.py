"""`analyze fix`: proposes, proves and ranks changes that clear the errors of a plan, and applies one."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Final

import click

from analyzer.cli.apply_fix import apply
from analyzer.cli.examples import EXAMPLES, SUMMARIES
from analyzer.cli.exit_codes import verdict
from analyzer.cli.messages import complain, progress, say
from analyzer.cli.options import Asked, allow_incomplete, plan_options
from analyzer.cli.outputs import check_targets, delivered, for_people
from analyzer.errors import AnalyzerError
from analyzer.input_files import Inputs

_FORMATS: Final = (".json", ".md")


@click.command("fix", short_help=SUMMARIES["fix"], epilog=EXAMPLES["fix"])
@click.option("--try", "tries", multiple=True, metavar="NAME=VALUE", help="Try this too: to=bf16, set.vpm=f32, run=F.")
@click.option("--out", type=click.Path(path_type=Path), metavar="F", help="Write the table as .json or .md.")
@click.option("--diff", "diffs", is_flag=True, help="Print source casts as diffs.")
@click.option(
    "--apply",
    "target",
    type=click.Path(path_type=Path),
    metavar="P",
    help="Write the best proved fix: F.json is a plan, a new folder a patched copy.",
)
@click.option("--in-place", is_flag=True, help="Patch the code in MODEL_DIR itself; FILE.orig is kept.")
@plan_options
@allow_incomplete
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def fix_command(
    asked: Asked, tries: tuple[str, ...], out: Path | None, diffs: bool, target: Path | None, in_place: bool,
    allow_incomplete: bool,
) -> int:  # fmt: skip
    """Propose changes that clear the errors of MODEL_DIR, each tried by running the model again.

    Exit code: 0 no error, or a fix that clears all was applied; 1 errors, and the table shows what helps; 2 could
    not run, or no error, but the run stopped early or a file could not be written.
    """
    _check(out, target, in_place, Inputs.of([asked.request]))
    request = replace(asked.request, tries=tries)
    with progress() as tell:
        from rich.console import Console

        from analyzer import pipeline
        from analyzer.render import fixes

        with pipeline.worker(asked.workers, [request], complain, tell) as worker:
            found, ended = pipeline.fix(worker, request, tell)
    errors, trials, incomplete = found.errors, found.trials, found.incomplete
    applies = bool(errors and ended is None and (target or in_place))
    inputs = Path(request.inputs) if request.inputs else None
    written = True
    if out is not None:
        write = fixes.to_json if out.suffix == ".json" else fixes.to_markdown
        written = delivered({str(out): write(trials, incomplete)})
    try:
        told = apply(asked.model, found.plans, trials, target, inputs) if applies else []
    finally:  # why there is nothing to apply stands in the table
        with for_people():
            fixes.show(trials, Console(file=sys.stdout), errors, diffs, incomplete)
    for words in told:
        say(words)
    left = errors > 0 and not applies
    return verdict(
        found=left, incomplete=incomplete, ended=ended, allowed=allow_incomplete, holder="table", written=written
    )


def _check(out: Path | None, target: Path | None, in_place: bool, inputs: Inputs) -> None:
    if out is not None and out.suffix not in _FORMATS:
        raise AnalyzerError(f"unknown output format: {out}", hint=f"use one of {', '.join(_FORMATS)}")
    plan = target if target is not None and target.suffix == ".json" else None
    if target is not None and in_place:
        raise AnalyzerError("--apply and --in-place exclude each other", hint="give one of them")
    check_targets([str(one) for one in (out, plan) if one is not None], inputs)
    if target is not None and target != plan and target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise AnalyzerError(f"{target} is there already", hint="give a new folder, or FILE.json for a plan")
