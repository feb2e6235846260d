"""Really runs what cleared the trace, best first, and says of each trial what came of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from analyzer.errors import AnalyzerError
from analyzer.fixes.real.bench import Bench
from analyzer.fixes.trial import Case, patched_copy
from analyzer.ir.proof import MENDS, NOT_RUN, RealRun
from analyzer.ir.proposals import Trial

SECONDS: Final = 120.0
"""How long all real runs of one command may take; what is left then is not run."""
Benches = Mapping[int, Bench]
"""Number of a stage that has errors -> where it is really run."""


def really_run(
    cases: Sequence[Case], trials: Sequence[Trial], bench: Callable[[Case], Bench], *, first: bool = False
) -> list[Trial]:
    """The trials, those that left fewer errors in the trace with the outcome of their real runs.

    With `first`, no more are run after the first that is proved.
    """
    end = time.monotonic() + SECONDS
    benches = {number: bench(case) for number, case in enumerate(cases) if case.errors}
    done, proved = [], False
    for trial in sorted(trials, key=lambda one: one.rank):
        if trial.helps and not (first and proved):
            late = time.monotonic() > end
            found = RealRun("not run", "the time for real runs is over") if late else _run(cases, trial, benches)
            trial = replace(trial, real=found)
            proved = proved or trial.proved
        done.append(trial)
    return done


def _run(cases: Sequence[Case], trial: Trial, benches: Benches) -> RealRun:
    """What becomes of all stages that had errors: the first that fails, else the first that could not be run."""
    found = [_stage(cases[number], trial, one) for number, one in benches.items()]
    fails, mends = ([run for run in found if run.kind == kind] for kind in ("fails", "mends"))
    if fails:
        return fails[0]
    return (
        MENDS if found and len(mends) == len(found) else next((one for one in found if one.kind == "not run"), NOT_RUN)
    )


def _stage(case: Case, trial: Trial, bench: Bench) -> RealRun:
    one = trial.proposal
    try:
        plan, at = one.plan(case.plan), bench.source.path if one.edits else Path()
        with patched_copy(at, one) as patched:
            return bench.judge(bench.with_settings(plan, patched, one.inputs), clears=trial.errors_left == 0)
    except AnalyzerError as error:
        return RealRun("not run", error.message)
