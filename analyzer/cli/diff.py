"""`analyze diff`: what differs between two models, set-ups, revisions or saved reports."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click
from click.core import ParameterSource

from analyzer.cli.examples import EXAMPLES, SUMMARIES
from analyzer.cli.exit_codes import verdict
from analyzer.cli.messages import complain, progress
from analyzer.cli.options import Ask, Asked, allow_incomplete, trace_options
from analyzer.cli.outputs import check_targets, chosen, delivered, for_people, rendered
from analyzer.cli.revisions import at_revision, ends
from analyzer.errors import AnalyzerError
from analyzer.input_files import Inputs
from analyzer.output_files import STDOUT, deliver
from analyzer.render.diff import FORMATS
from analyzer.worker.process import EndedError
from analyzer.worker.protocol import SIDES, TraceRequest

if TYPE_CHECKING:
    from analyzer.report import Report

_FILE: Final = click.Path(path_type=Path)
_NEVER_IDLE: Final = ("targets", "out", "allow_incomplete", "debug")
"""Parameters that a comparison of saved reports heeds too."""


@dataclass(frozen=True)
class Side:
    """One of the two: a model and what is asked of it, or a saved report."""

    target: Path
    asked: Asked | None = None
    """None for a saved report."""
    revision: str = ""
    tried: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    """Its own plan and recipes."""

    def name(self) -> str:
        """What it is called: `model at main`, `model (to=bf16)`."""
        at = f" at {self.revision}" if self.revision else ""
        own = (*self.files, *self.tried)
        return f"{self.target}{at}" + (f" ({', '.join(own)})" if own else "")


@click.command("diff", short_help=SUMMARIES["diff"], epilog=EXAMPLES["diff"])
@click.argument("targets", nargs=-1, required=True, type=_FILE, metavar="A [B]")
@click.option("--rev", metavar="X..Y", help="Compare two git revisions of A; the checkout is not touched.")
@click.option(
    "--a", "tried_a", multiple=True, metavar="NAME=VALUE", help="Change of the plan of A: to=bf16, set.vpm=f32."
)
@click.option("--b", "tried_b", multiple=True, metavar="NAME=VALUE", help="The same for B.")
@click.option("--plan-a", type=_FILE, metavar="F", help="Plan of A, instead of --plan.")
@click.option("--plan-b", type=_FILE, metavar="F", help="Plan of B.")
@click.option("--recipe-a", multiple=True, type=_FILE, metavar="F", help="Recipe of A, instead of --recipe.")
@click.option("--recipe-b", multiple=True, type=_FILE, metavar="F", help="Recipe of B.")
@click.option("--out", multiple=True, type=_FILE, metavar="F", help=f"Write a file: {', '.join(FORMATS)}.")
@trace_options
@allow_incomplete
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def diff_command(
    ask: Ask, targets: tuple[Path, ...], rev: str | None, tried_a: tuple[str, ...], tried_b: tuple[str, ...],
    plan_a: Path | None, plan_b: Path | None, recipe_a: tuple[Path, ...], recipe_b: tuple[Path, ...],
    out: tuple[Path, ...], allow_incomplete: bool,
) -> int:  # fmt: skip
    """Compare A with B: two model folders, two set-ups or revisions of one, or two reports saved as JSON.

    Exit code: 0 no difference, 1 a difference, 2 could not run; or no difference, but a run stopped
    early or a file could not be written.
    """
    own = (tried_a, plan_a, recipe_a), (tried_b, plan_b, recipe_b)
    _check_two(targets, rev, any(map(any, own)))
    outs = chosen([str(file) for file in out], FORMATS)
    revisions = ends(rev) if rev else ("", "")
    asked = zip((targets[0], targets[-1]), revisions, own, strict=True)
    sides = [_side(ask, target, revision, *of) for target, revision, of in asked]
    models = [side.asked.request for side in sides if side.asked is not None]
    check_targets(list(outs), Inputs.of(models, *targets))
    if all(side.asked is None for side in sides) and (given := _written()):
        hint = "give a model folder, or leave it out"
        raise AnalyzerError(f"{given[0]} changes nothing: both sides are saved reports", hint=hint)
    with progress() as tell:
        from analyzer.diff.comparison import compare

        saved = [_checked(side) for side in sides]
        before, after = _reports(sides, saved, tell)
        difference = compare(before, after, (sides[0].name(), sides[1].name()))
        tell("drawing")
        files = rendered(difference, outs)  # a layout that takes too long keeps no other file back
    written = delivered(files) and len(files) == len(outs)
    with for_people():
        if sys.stdout is not None:
            deliver(STDOUT, FORMATS[".txt"](difference))
    return verdict(
        found=not difference.empty, incomplete=difference.incomplete, ended=None, allowed=allow_incomplete,
        written=written,
    )  # fmt: skip


def _check_two(targets: tuple[Path, ...], rev: str | None, differ: bool) -> None:
    """Raise AnalyzerError unless there are two to compare; `differ`: one target has two set-ups."""
    if len(targets) > 2:
        raise AnalyzerError(f"{len(targets)} targets are given", hint="diff compares two: A and B")
    if len(targets) == 1 and not rev and not differ:
        raise AnalyzerError(f"{targets[0]} is compared with nothing", hint="give B, --rev X..Y, or --a, --b, --plan-b")
    if rev and len(targets) == 2:
        raise AnalyzerError("--rev compares revisions of one model", hint="leave B out")


def _written() -> list[str]:
    """The options on the command line that only a model that is traced could heed."""
    context = click.get_current_context()
    given = [one for one in context.command.params if one.name and one.name not in _NEVER_IDLE]
    sources = ((one, context.get_parameter_source(str(one.name))) for one in given)
    return [one.opts[0] for one, source in sources if source is ParameterSource.COMMANDLINE]


def _side(
    ask: Ask, target: Path, revision: str, tried: tuple[str, ...], plan: Path | None, recipes: tuple[Path, ...]
) -> Side:
    """One side, checked. Raises AnalyzerError for what cannot be."""
    if target.suffix == ".json" and target.is_file():
        if revision or tried or plan or recipes:
            raise AnalyzerError(
                f"{target} is a saved report: nothing of it can be changed", hint="give the model folder"
            )
        return Side(target)
    for file in (*recipes, *filter(None, (plan,))):
        if not file.is_file():
            raise AnalyzerError(f"no such file: {file}", hint="a recipe, or a plan as analyze fix --apply writes it")
    asked = ask(target)
    request = asked.request
    own = tuple(map(str, recipes)) or request.recipes
    request = replace(request, plan_file=str(plan) if plan else request.plan_file, recipes=own)
    if request.plan_file is not None and request.recipes:
        raise AnalyzerError("--plan and --recipe exclude each other", hint="a plan file says all that a recipe does")
    asked = replace(asked, request=request)
    return Side(target, asked, revision, tried, (*map(str, recipes), *([str(plan)] if plan else [])))


def _checked(side: Side) -> Report | None:
    """The saved report of a side, if it is one; what else can be refused is refused here, before anything is traced."""
    from analyzer.report.reader import read_report

    if side.tried:
        from analyzer.plans.typed_changes import read_asked

        for text in side.tried:
            read_asked(text, option=SIDES)
    return read_report(side.target) if side.asked is None else None


def _reports(sides: Sequence[Side], saved: Sequence[Report | None], tell: Callable[[str], None]) -> list[Report]:
    """The report of each side, saved or traced by one worker. Raises AnalyzerError for one that ended early."""
    from analyzer import pipeline

    asked = [side.asked for side in sides if side.asked is not None]
    if not asked:
        return [report for report in saved if report is not None]
    with ExitStack() as stack:
        requests = [_request(side, stack) for side in sides]
        named = [request for request in requests if request is not None]
        worker = stack.enter_context(pipeline.worker(asked[0].workers, named, complain, tell))
        reports = []
        for side, request, report in zip(sides, requests, saved, strict=True):
            if request is not None:
                tell(f"tracing {side.name()}")
                report, ended = pipeline.trace(worker, request, tell)
                if ended is not None:
                    raise EndedError(ended)
            reports += [report] if report is not None else []
        return reports


def _request(side: Side, stack: ExitStack) -> TraceRequest | None:
    """What a worker is asked for a side, its revision extracted for as long as `stack` lasts; None if it is saved."""
    if side.asked is None:
        return None
    request = replace(side.asked.request, tries=side.tried)
    return stack.enter_context(at_revision(request, side.revision)) if side.revision else request
