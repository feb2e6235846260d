"""Tries what could clear the errors of a model, each by running it again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from analyzer import fixes, loaders
from analyzer.capture import Captured, Loaded
from analyzer.capture.autocast.dispatch import home
from analyzer.capture.autocast.torch_autocast_state import present
from analyzer.inputs.learning import learned
from analyzer.ir.plan import Plan
from analyzer.ir.proposals import Edit, Proposal, Trial
from analyzer.loaders.remote_code.environment import environment
from analyzer.loaders.request import ModelRequest, silent
from analyzer.report import Report


def run_fix(
    request: ModelRequest, plans: Sequence[Plan], *, asked: Sequence[Proposal] = ()
) -> tuple[int, list[Trial], str]:
    """How many errors the stages have, the changes that could clear them, ranked, and why a run stopped early.

    That is "" where every run came to its end. Raises as `run_trace` does.
    """
    stages = [loaders.resolved(replace(request, plan=plan)) for plan in plans]
    path, reload = stages[0].path, _reloader(stages[0])
    with environment(stages[0].plan.device, request.stubs, trust=request.trust_remote_code):
        cases = []
        for stage in stages:
            request.progress("tracing the model as it is")
            cases.append(fixes.Case.of(*reload(stage.plan, None, None), stage.plan))
        errors = sum(case.errors for case in cases)
        early = [f"the run stops early: {s.reason} at {s.place}" for case in cases if (s := case.flow.graph.stop)]
        request.progress("trying fixes")
        return errors, fixes.judge(cases, path, reload, asked, stages[0].inputs_file), next(iter(early), "")


def run_edits(request: ModelRequest, report: Report, wanted: Sequence[tuple[int, int]]) -> list[Edit | None]:
    """For findings, given as numbers of their stage and in it, a change of the source that was proved to help.

    None where there is none. It costs a capture a stage, and one a proposal.
    """
    reload = _reloader(request)
    edits: list[Edit | None] = []
    cases: dict[int, fixes.Case] = {}
    for number, place in wanted:
        stage = report.stages[number]
        finding = stage.findings[place]
        request.progress(f"trying casts in the source for {finding.code}")
        with environment(stage.plan.device, request.stubs, trust=request.trust_remote_code):
            if number not in cases:  # a report does not know where the writes of its run went
                again = fixes.Case.of(*reload(stage.plan, None, None), stage.plan)
                cases[number] = replace(again, flow=stage.flow, findings=stage.findings)
            trial = fixes.judge_edits(cases[number], finding, request.path, reload)
        edits.append(trial.proposal.edits[0] if trial else None)
    return edits


def _reloader(request: ModelRequest) -> fixes.Reload:
    def reload(plan: Plan, folder: Path | None, inputs: Path | None) -> tuple[Loaded, Captured]:
        again = replace(
            request, plan=plan, path=folder or request.path, inputs_file=inputs or request.inputs_file, progress=silent
        )
        with present(home(plan)):
            loaded = loaders.load_request(again)
        return learned(replace(loaded, steps=request.steps), plan)

    return reload
