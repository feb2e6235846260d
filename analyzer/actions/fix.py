"""Tries what could clear the errors of a model, each by running it again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from analyzer import fixes, loaders
from analyzer.actions.trace import builder
from analyzer.capture import Captured, Loaded
from analyzer.inputs.learning import learned
from analyzer.ir.fixes.proposals import Edit, Proposal, Trial
from analyzer.ir.plan import Plan
from analyzer.loaders.remote_code.environment import environment
from analyzer.loaders.request import ModelRequest
from analyzer.report import Report


def run_fix(
    request: ModelRequest, plans: Sequence[Plan], *, asked: Sequence[Proposal] = ()
) -> tuple[int, list[Trial], str]:
    """How many errors the stages have, the changes that could clear them, ranked, and why a run stopped early.

    That is "" where every run came to its end. Raises as `run_trace` does.
    """
    stages = [loaders.resolved(replace(request, plan=plan)) for plan in plans]
    path, reload = stages[0].path, _reloader(stages[0])
    trust = request.trust_remote_code
    with ExitStack() as stack, environment(stages[0].plan.device, request.stubs, trust=trust):
        cases = []
        for stage in stages:
            request.progress("tracing the model as it is")
            cases.append(fixes.Case.of(*reload(stage.plan, None, None), stage.plan))
        errors = sum(case.errors for case in cases)
        early = [f"the run stops early: {s.reason} at {s.place}" for case in cases if (s := case.flow.graph.stop)]
        request.progress("trying fixes")
        bench = _bench(stages[0], stack)
        trials = fixes.judge(cases, path, reload, asked, stages[0].inputs_file, bench)
        return errors, trials, next(iter(early), "")


def run_edits(request: ModelRequest, report: Report, wanted: Sequence[tuple[int, int]]) -> list[Edit | None]:
    """For findings, given as numbers of their stage and in it, a change of the source that was proved to help.

    None where there is none. It costs a capture and a real run a stage, and of each as many as there are proposals.
    """
    reload = _reloader(request)
    edits: dict[tuple[int, int], Edit | None] = {}
    for number in dict.fromkeys(number for number, _ in wanted):
        stage = report.stages[number]
        with ExitStack() as stack, environment(stage.plan.device, request.stubs, trust=request.trust_remote_code):
            # a report does not know where the writes of its run went
            again = fixes.Case.of(*reload(stage.plan, None, None), stage.plan)
            case = replace(again, flow=stage.flow, findings=stage.findings)
            bench = _bench(request, stack)(case)
            for place in (place for of, place in wanted if of == number):
                finding = stage.findings[place]
                request.progress(f"trying casts in the source for {finding.code}")
                trial = fixes.judge_edits(case, finding, request.path, reload, bench)
                edits[number, place] = trial.proposal.edits[0] if trial else None
    return [edits[one] for one in wanted]


def _reloader(request: ModelRequest) -> fixes.Reload:
    build = builder(request)

    def reload(plan: Plan, folder: Path | None, inputs: Path | None) -> tuple[Loaded, Captured]:
        return learned(build(plan, folder, inputs), plan)

    return reload


def _bench(request: ModelRequest, stack: ExitStack) -> Callable[[fixes.Case], fixes.Bench]:
    """Where a stage is really run; `stack` holds the folders that are made for it."""

    def bench(case: fixes.Case) -> fixes.Bench:
        assert case.loaded is not None  # it was traced here
        source = fixes.on_disk(request.path, builder(request), case.plan, case.loaded, case.flow, stack)
        return fixes.Bench(case.flow, case.plan, source)

    return bench
