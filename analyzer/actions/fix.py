"""Tries what could clear the errors of a model, each by running it again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from analyzer import fixes, loaders
from analyzer.actions.trace import Progress, silent
from analyzer.capture import Captured, Loaded
from analyzer.capture.autocast.dispatch import home
from analyzer.capture.autocast.torch_autocast_state import present
from analyzer.errors import AnalyzerError
from analyzer.inputs.learning import learned
from analyzer.ir.plan import Plan
from analyzer.ir.proposals import Edit, Proposal, Trial
from analyzer.ir.steps import Step
from analyzer.loaders.remote_code.environment import environment
from analyzer.report import Report


def run_fix(
    path: Path,
    plans: Sequence[Plan],
    *,
    asked: Sequence[Proposal] = (),
    trust_remote_code: bool = False,
    inputs_file: Path | None = None,
    stubs: Sequence[str] = (),
    steps: tuple[Step, ...] = (),
    progress: Progress | None = None,
) -> tuple[int, list[Trial]]:
    """How many errors the stages have, and the changes that could clear them, ranked; raises as `run_trace` does."""
    tell = progress or silent
    settled = [loaders.settle(path, plan) for plan in plans]
    path, plans = settled[0][0], [plan for _, plan in settled]

    reload = _reloader(path, trust_remote_code, inputs_file, steps)
    with environment(plans[0].device, stubs):
        cases = []
        for plan in plans:
            tell("tracing the model as it is")
            cases.append(fixes.Case.of(*reload(plan, None, None), plan))
        errors = sum(case.errors for case in cases)
        early = [stop for case in cases if (stop := case.flow.graph.stop)]
        if early and not errors:
            raise AnalyzerError(f"the run stops early: {early[0].reason} at {early[0].place}", hint="see analyze trace")
        tell("trying fixes")
        return errors, fixes.judge(cases, path, reload, asked)


def run_edits(
    path: Path,
    report: Report,
    wanted: Sequence[tuple[int, int]],
    *,
    trust_remote_code: bool = False,
    inputs_file: Path | None = None,
    stubs: Sequence[str] = (),
    steps: tuple[Step, ...] = (),
    progress: Progress | None = None,
) -> list[Edit | None]:
    """For findings, given as numbers of their stage and in it, a change of the source that was proved to help.

    None where there is none. It costs a capture a proposal.
    """
    tell = progress or silent
    reload = _reloader(path, trust_remote_code, inputs_file, steps)
    edits: list[Edit | None] = []
    for number, place in wanted:
        stage = report.stages[number]
        finding = stage.findings[place]
        tell(f"trying casts in the source for {finding.code}")
        case = fixes.Case(stage.plan, stage.flow, stage.findings)
        with environment(stage.plan.device, stubs):
            trial = fixes.judge_edits(case, finding, path, reload)
        edits.append(trial.proposal.edits[0] if trial else None)
    return edits


def _reloader(path: Path, trusted: bool, inputs_file: Path | None, steps: tuple[Step, ...]) -> fixes.Reload:
    def reload(plan: Plan, folder: Path | None, inputs: Path | None) -> tuple[Loaded, Captured]:
        with present(home(plan)):
            loaded = loaders.load(folder or path, plan, trust_remote_code=trusted, inputs_file=inputs or inputs_file)
        return learned(replace(loaded, steps=steps), plan)

    return reload
