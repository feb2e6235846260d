"""Really runs what cleared the trace, best first, and says of each trial what came of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from analyzer.errors import AnalyzerError, Interrupted
from analyzer.fixes.real.bench import Bench
from analyzer.fixes.trial import Case, patched_copy
from analyzer.ir.findings import Finding
from analyzer.ir.fixes.proof import MENDS, STILL_FAILS, RealRun
from analyzer.ir.fixes.proposals import Trial

SECONDS: Final = 120.0
"""How long all real runs of one command may compute; what is left then is not run."""
_LATE: Final = RealRun("not run", "the time for real runs is over")
Benches = Mapping[int, Bench]
"""Number of a stage that has errors -> where it is really run."""


def really_run(
    cases: Sequence[Case], trials: Sequence[Trial], bench: Callable[[Case], Bench], finding: Finding | None = None
) -> list[Trial]:
    """The trials, those that left fewer errors in the trace with the outcome of their real runs.

    With a finding it is that which they are to clear, and no more are run after the first that is proved. A run that is
    told to end ends all of them: what the trace says of the trials is worth more than nothing.
    """
    end = time.thread_time() + SECONDS
    benches = {number: bench(case) for number, case in enumerate(cases) if case.errors}
    done: list[Trial] = []
    proved, over = False, _LATE
    for trial in sorted(trials, key=lambda one: one.rank):
        if trial.helps and not (finding and proved):
            found = over
            try:
                if time.thread_time() < end:
                    found = _run(cases, trial, benches, finding)
            except Interrupted as error:
                found = over = RealRun("not run", str(error))
                end = 0.0
            trial = replace(trial, real=found)
            proved = proved or trial.proved
        done.append(trial)
    return done


def _run(cases: Sequence[Case], trial: Trial, benches: Benches, finding: Finding | None) -> RealRun:
    """What becomes of all stages that had errors: the worst of them.

    Where the trace has errors left, a stage that still ends in its own says nothing against the others.
    """
    found = [_stage(cases[number], trial, one, finding) for number, one in benches.items()]
    told = [run for run in found if run is not None]
    if not told or (trial.errors_left == 0 and None in found):
        return STILL_FAILS
    worst = [run for kind in ("fails", "not run") for run in told if run.kind == kind]
    return worst[0] if worst else MENDS


def _stage(case: Case, trial: Trial, bench: Bench, finding: Finding | None) -> RealRun | None:
    one = trial.proposal
    try:
        plan, at = one.plan(case.plan), bench.source.path if one.edits else Path()
        with patched_copy(at, one) as patched:
            change = bench.with_settings(plan, patched, one.inputs)
            return bench.judge(change, clears=trial.errors_left == 0, finding=finding)
    except AnalyzerError as error:
        return RealRun("not run", error.message)
