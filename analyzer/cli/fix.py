"""`analyze fix`: proposes, proves and ranks changes that clear the errors of a plan, and applies one."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from analyzer.cli.examples import EXAMPLES, SUMMARIES
from analyzer.cli.options import Asked, plan_options
from analyzer.cli.talk import progress
from analyzer.deliver import check_file, deliver, deliver_all, deliver_folder
from analyzer.errors import AnalyzerError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from analyzer.plan import Plan
    from analyzer.remedy import Trial

_FORMATS: Final = (".json", ".md")
_CODE: Final = (".py", ".json")
"""What of a model folder a patched copy holds."""


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
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def fix_command(
    asked: Asked, tries: tuple[str, ...], out: Path | None, diffs: bool, target: Path | None, in_place: bool,
    debug: bool,
) -> int:  # fmt: skip
    """Propose changes that clear the errors of MODEL_DIR, each tried by running the model again.

    Exit code: 0 no error, or one that clears all was applied; 1 errors, and the table shows what helps; 2 could
    not run.
    """
    _check(out, target, in_place)
    plans = asked.plans()
    with progress() as tell:
        tell("importing torch")
        from rich.console import Console

        from analyzer.pipeline import run_fix
        from analyzer.remedy.asked import read_asked
        from analyzer.render import fixes

        errors, trials = run_fix(
            asked.model_dir,
            plans,
            asked=[read_asked(text, asked.plans) for text in tries],
            trust_remote_code=asked.trust_remote_code,
            inputs_file=asked.inputs,
            stubs=asked.stubs,
            steps=asked.steps,
            progress=tell,
        )
    fixes.show(trials, Console(file=sys.stdout), errors, diffs)
    if out is not None:
        deliver(str(out), fixes.to_json(trials) if out.suffix == ".json" else fixes.to_markdown(trials))
    if not errors or not (target or in_place):
        return int(errors > 0)
    _apply(asked.model_dir, plans, trials, target, in_place)
    return 0


def _check(out: Path | None, target: Path | None, in_place: bool) -> None:
    if out is not None:
        if out.suffix not in _FORMATS:
            raise AnalyzerError(f"unknown output format: {out}", hint=f"use one of {', '.join(_FORMATS)}")
        check_file(out)
    if target is not None and in_place:
        raise AnalyzerError("--apply and --in-place exclude each other", hint="give one of them")
    if target is not None and target.suffix == ".json":
        check_file(target)
    elif target is not None and target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise AnalyzerError(f"{target} is there already", hint="give a new folder, or FILE.json for a plan")


def _apply(
    model_dir: Path, plans: Sequence[Plan], trials: Sequence[Trial], target: Path | None, in_place: bool
) -> None:
    """Write the best fix of the wanted kind that clears every error."""
    wants_plan = target is not None and target.suffix == ".json"
    fitting = [t for t in trials if t.clears and (bool(t.proposal.change) if wants_plan else t.proposal.edit)]
    fitting = [trial for trial in fitting if trial.proposal.inputs is None]  # a plan does not hold an inputs file
    if not fitting:
        kind = "change of the set-up" if wants_plan else "cast in the source"
        raise AnalyzerError(f"no {kind} was proved to clear all errors", hint="see the table for what helps")
    best = fitting[0].proposal
    if wants_plan:
        from analyzer.plans import dump

        deliver(str(target), dump([best.plan(plan) for plan in plans]))
    elif best.edit is not None and target is not None:
        code = {f.name: f.read_bytes() for f in sorted(model_dir.iterdir()) if f.is_file() and f.suffix in _CODE}
        deliver_folder(target, code | {best.edit.file: best.edit.after.encode()})
    elif best.edit is not None:
        file = model_dir / best.edit.file
        kept = file.with_name(f"{file.name}.orig")
        if kept.exists():
            raise AnalyzerError(f"{kept} is there already", hint="move it away first")
        deliver_all({kept: file.read_bytes(), file: best.edit.after.encode()}, str(file))
    click.echo(f"applied: {best.what}", err=True)
