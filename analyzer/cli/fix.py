"""`analyze fix`: proposes, proves and ranks changes that clear the errors of a plan, and applies one."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from analyzer.cli.examples import EXAMPLES, SUMMARIES
from analyzer.cli.messages import complain, progress
from analyzer.cli.options import Asked, plan_options
from analyzer.deliver import check_file, deliver, deliver_all, deliver_folder
from analyzer.errors import AnalyzerError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from analyzer.ir.plan import Plan
    from analyzer.ir.trial import Trial

_FORMATS: Final = (".json", ".md")
_CODE: Final = (".py", ".json")
"""What of a model folder a patched copy holds."""
_PLAN: Final = "plan.json"
"""The file in a patched copy that holds the set-up which the patch needs."""


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
) -> int:  # fmt: skip
    """Propose changes that clear the errors of MODEL_DIR, each tried by running the model again.

    Exit code: 0 no error, or one that clears all was applied; 1 errors, and the table shows what helps; 2 could
    not run.
    """
    _check(out, target, in_place)
    request = replace(asked.request, tries=tries)
    with progress() as tell:
        from rich.console import Console

        from analyzer import pipeline
        from analyzer.render import fixes

        with pipeline.worker(asked.workers, [request], complain) as worker:
            found = pipeline.fix(worker, request, tell)
    errors, trials = found.errors, found.trials
    fixes.show(trials, Console(file=sys.stdout), errors, diffs)
    if out is not None:
        deliver(str(out), fixes.to_json(trials) if out.suffix == ".json" else fixes.to_markdown(trials))
    if not errors or not (target or in_place):
        return int(errors > 0)
    _apply(asked.model, found.plans, trials, target, in_place)
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
    from analyzer.plans import dump

    wants_plan = target is not None and target.suffix == ".json"
    fitting = [trial for trial in trials if trial.clears and trial.proposal.inputs is None]  # no plan holds such a file
    if wants_plan:
        fitting = [trial for trial in fitting if trial.proposal.sets and not trial.proposal.edits]
    else:  # a folder holds a plan beside the code, a patch in place does not
        fitting = [trial for trial in fitting if trial.proposal.edits and not (in_place and trial.proposal.sets)]
    if not fitting:
        kind = "change of the set-up alone" if wants_plan else "cast in the source"
        raise AnalyzerError(f"no {kind} was proved to clear all errors", hint="see the table for what helps")
    best = fitting[0].proposal
    folder = model_dir if model_dir.is_dir() else model_dir.parent
    changed = {Path(edit.file): edit.after.encode() for edit in best.edits}
    plan = dump([best.plan(plan) for plan in plans]) if best.sets else b""
    if target is None:
        kept = {folder / name: (folder / name).with_name(f"{name.name}.orig") for name in changed}
        if there := [one for one in kept.values() if one.exists()]:
            raise AnalyzerError(f"{there[0]} is there already", hint="move it away first")
        copies = {kept[file]: file.read_bytes() for file in kept}
        deliver_all(copies | {folder / name: data for name, data in changed.items()}, str(folder))
    elif wants_plan:
        deliver(str(target), plan)
    else:
        beside = {_PLAN: plan} if plan else {}
        deliver_folder(target, {str(name): data for name, data in (_code(model_dir) | changed).items()} | beside)
        if plan:
            click.echo(f"the patch needs its set-up too: run with --plan {target / _PLAN}", err=True)
    click.echo(f"applied: {best.what}", err=True)


def _code(model: Path) -> dict[Path, bytes]:
    """The code and the settings of a model folder and of the folders in it, never its weights.

    Of a Python file it is the file, and the modules and packages beside it: its folder may hold anything.
    """
    folder, files = model, model.rglob("*")
    if model.is_file():
        folder = model.parent
        files = (file for one in ("*.py", "*/__init__.py") for top in folder.glob(one)
                 for file in ([top] if top.parent == folder else top.parent.rglob("*.py")))  # fmt: skip
    found = (file.relative_to(folder) for file in sorted(files) if file.suffix in _CODE and file.is_file())
    kept = [name for name in found if not any(part.startswith(".") or part == "__pycache__" for part in name.parts)]
    return {name: (folder / name).read_bytes() for name in kept}
