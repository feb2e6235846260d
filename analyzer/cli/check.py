"""`analyze check`: for CI; fails on findings that the project does not know yet."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from analyzer.cli.examples import EXAMPLES, SUMMARIES
from analyzer.cli.exit_codes import by_signal, verdict
from analyzer.cli.explain import rule_names
from analyzer.cli.messages import complain, progress
from analyzer.cli.options import Asked, allow_incomplete, notes, plan_options
from analyzer.cli.outputs import check_targets, delivered, for_people, rendered
from analyzer.cli.trace import FAILS_ON
from analyzer.errors import AnalyzerError
from analyzer.input_files import Inputs
from analyzer.output_files import STDOUT, check_file
from analyzer.render.check import FORMATS

if TYPE_CHECKING:
    from analyzer.check import Baseline, Check, Suppression


@click.command("check", short_help=SUMMARIES["check"], epilog=EXAMPLES["check"])
@click.option("--baseline", type=click.Path(path_type=Path), metavar="F", help="Findings in this file do not fail.")
@click.option("--update-baseline", is_flag=True, help="Write what is found now into the baseline; that does not fail.")
@click.option(
    "--format", "kind", type=click.Choice(list(FORMATS)), default="text", show_default=True, help="Of the result."
)
@click.option("--out", default=STDOUT, metavar="F", help="Write the result into a file, not to stdout.")
@click.option("--also", multiple=True, metavar="KIND=F", help="Write another format too: sarif=dtypes.sarif.")
@click.option("--fail-on", type=click.Choice(list(FAILS_ON)), default="warning", show_default=True, help="What fails.")
@click.option("--fail-on-unused", is_flag=True, help="Suppressions that suppress nothing fail too.")
@plan_options
@allow_incomplete
@notes
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def check_command(
    asked: Asked, baseline: Path | None, update_baseline: bool, kind: str, out: str, also: tuple[str, ...],
    fail_on: str, fail_on_unused: bool, allow_incomplete: bool, notes: bool,
) -> int:  # fmt: skip
    """Check MODEL_DIR in CI: only errors and warnings that are neither known nor suppressed fail.

    Exit code: 0 ran to its end and nothing new, 1 something new (see --fail-on), 2 could not run, stopped early,
    or nothing new but a file could not be written.
    """
    known = _baseline(baseline, update_baseline)
    targets = _targets(asked, [(out, kind), *_also(also)], baseline, update_baseline)
    rules = rule_names()
    suppressions = _configured(asked.model, rules)
    with progress() as tell, ExitStack() as stack:
        from analyzer import pipeline
        from analyzer.check import judge

        worker = stack.enter_context(pipeline.worker(asked.workers, [asked.request], complain, tell))
        suppressions += pipeline.comments(worker, asked.model, rules, tell)
        report, ended = pipeline.trace(worker, asked.request, tell)
        fails_on, root = FAILS_ON[fail_on], _root(asked.model)
        check = judge(report, asked.model, root, baseline=known, suppressions=suppressions, fails_on=fails_on)
        check = replace(check, allow_incomplete=allow_incomplete, notes=notes)
        if check.failing and ended is None and any(FORMATS[one].carries_edits for one in targets.values()):
            check, ended = pipeline.edit(worker, check, tell)
    more = {str(baseline): check.baseline(known).dump()} if update_baseline and not by_signal(ended) else {}
    written = _written(check, targets, more)
    found = not update_baseline and bool(check.failing or (fail_on_unused and check.surely_unused))
    return verdict(
        found=found, incomplete=check.incomplete, ended=ended, allowed=allow_incomplete, holder="result",
        written=written,
    )  # fmt: skip


def _baseline(file: Path | None, update: bool) -> Baseline:
    """What is known already; refused before the slow part where the file is broken or cannot be written."""
    from analyzer.check.baseline import Baseline

    if file is None:
        if update:
            raise AnalyzerError("--update-baseline needs --baseline FILE", hint="name the file that it writes")
        return Baseline()
    if update:
        check_file(file)
    if not file.exists():
        if update:
            return Baseline()
        raise AnalyzerError(f"no such baseline: {file}", hint="--update-baseline writes it")
    return Baseline.read(file)


def _configured(model: Path, rules: Mapping[str, str]) -> list[Suppression]:
    from analyzer.check.suppressions import configured

    return list(configured(_folders(model), rules))


def _settings(model: Path) -> list[Path]:
    """The files in which suppressions are looked for."""
    return [place / "pyproject.toml" for folder in _folders(model) for place in (folder, *folder.parents)]


def _folders(model: Path) -> tuple[Path, Path]:
    """Where suppressions are; of a model that is a file, the first is no folder and holds nothing."""
    return model.resolve(), Path.cwd()


def _root(model_dir: Path) -> Path:
    """The repository that holds the model folder, else the working directory."""
    folder = model_dir.resolve()
    return next((place for place in (folder, *folder.parents) if (place / ".git").exists()), Path.cwd())


def _targets(
    asked: Asked, wanted: Iterable[tuple[str, str]], baseline: Path | None, update: bool
) -> dict[str, str]:  # fmt: skip
    """Target -> its format. Raises AnalyzerError for one that cannot be written, or is read."""
    inputs = Inputs.of([asked.request], None if update else baseline, *_settings(asked.model))
    pairs = list(dict.fromkeys(wanted))
    check_targets([*(target for target, _ in pairs), *([str(baseline)] if update else [])], inputs)
    return dict(pairs)


def _also(texts: tuple[str, ...]) -> list[tuple[str, str]]:
    """Files, each with its format."""
    targets = []
    for text in texts:
        kind, _, file = text.partition("=")
        if kind not in FORMATS or not file:
            raise AnalyzerError(f"--also '{text}' is not KIND=FILE", hint=f"KIND is one of {', '.join(FORMATS)}")
        targets.append((file, kind))
    return targets


def _written(check: Check, targets: Mapping[str, str], more: Mapping[str, bytes]) -> bool:
    """Write the results and what there is more, then tell; whether every file arrived."""
    from rich.console import Console

    from analyzer.render.check.text import show
    from analyzer.render.check.words import headline

    told = targets.get(STDOUT) == "text"
    others = {one: FORMATS[kind] for one, kind in targets.items() if not (told and one == STDOUT)}
    files = rendered(check, others)
    written = delivered({**files, **more}) and len(files) == len(others)
    if told:
        with for_people():
            show(check, Console(file=sys.stdout))
    elif check.judged or not check.incomplete:  # else the line on why it stopped early says it all
        complain(f"{check.folder}: {headline(check)}")
    return written
