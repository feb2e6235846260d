"""Gathers what could clear the errors of a plan, puts the most promising to the proof, and ranks all of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from analyzer.fixes.edits.input_files import in_their_file
from analyzer.fixes.edits.number_limits import limits
from analyzer.fixes.edits.whole_calls import wholes
from analyzer.fixes.minimum_cut import cut
from analyzer.fixes.plan_changes import setups
from analyzer.fixes.real.bench import Bench
from analyzer.fixes.real_trials import really_run
from analyzer.fixes.search import predicted
from analyzer.fixes.source_casts import sources
from analyzer.fixes.source_file import folder_of
from analyzer.fixes.training_changes import trainings, unproposed
from analyzer.fixes.trial import Case, Reload, attempt
from analyzer.ir.findings import Finding
from analyzer.ir.fixes.proposals import Failure, Proposal, Trial
from analyzer.ir.literal_types import PROPOSALS

RUN: Final = 12
"""How many of the tool's own proposals are put to the proof; those that a person asks for are all run."""


def judge(
    cases: Sequence[Case], model: Path, reload: Reload, asked: Sequence[Proposal] = (), inputs: Path | None = None,
    bench: Callable[[Case], Bench] | None = None,
) -> list[Trial]:  # fmt: skip
    """Every proposal for a model's folder or file tried, best first: those of a person, and RUN of the tool's own.

    What clears the trace is then really run, where `bench` says how. `inputs` is the file that makes the inputs, where
    a person named one.
    """
    with TemporaryDirectory() as scratch:
        own = _own(cases, folder_of(model), model, inputs, Path(scratch).resolve())
        return [_kept(trial) for trial in _judged(cases, model, reload, asked, own, bench)]


def _kept(trial: Trial) -> Trial:
    """The trial without the copy of an inputs file, which is gone; what was changed in it is an edit."""
    mine = any(edit.of_inputs for edit in trial.proposal.edits)
    return replace(trial, proposal=replace(trial.proposal, inputs=None)) if mine else trial


def _judged(
    cases: Sequence[Case], model: Path, reload: Reload, asked: Sequence[Proposal], own: Sequence[Proposal],
    bench: Callable[[Case], Bench] | None,
) -> list[Trial]:  # fmt: skip
    folder = folder_of(model)
    tried = [attempt(cases, model, reload, one) for one in (*asked, *own[:RUN])]
    tried = really_run(cases, tried, bench) if bench else tried
    skipped = [_not_run(cases, one) for one in own[RUN:]]
    without = [_without(cases, case, finding, folder) for case in cases for finding in case.findings]
    return _without_echoes(sorted([*tried, *skipped, *filter(None, without)], key=lambda trial: trial.rank))


def _own(cases: Sequence[Case], folder: Path, model: Path, inputs: Path | None, scratch: Path) -> list[Proposal]:
    """The tool's own proposals, what is run first before the others."""
    given: dict[str, Proposal] = {}
    for case in cases:
        for one in _proposals(case, folder):
            if not any(one.does(other) for other in given.values()):
                given.setdefault(one.what, one)
    for one in [*in_their_file(given.values(), model, inputs, scratch)]:
        given.setdefault(one.what, one)
    promising = [one for one in given.values() if _may_help(cases, one)]
    return _every_kind_first(sorted(promising or given.values(), key=lambda one: _promise(cases, one)))


def _without_echoes(ranked: Sequence[Trial]) -> list[Trial]:
    """The trials without those that do the very same as a better one."""
    kept: list[Trial] = []
    for trial in ranked:
        at = next((number for number, other in enumerate(kept) if _echoes(trial, other)), None)
        if at is None:
            kept.append(trial)
        elif trial.proposal.kind == "component" and len(kept[at].proposal.cast) > 1:
            kept[at] = trial  # one name for what is all of a part
    return kept


def _echoes(trial: Trial, better: Trial) -> bool:
    """Whether a change of the set-up does the very same as one that ranks before it, to more of the model."""
    mine, its = trial.proposal, better.proposal
    others = mine.edits or its.edits or mine.stages or its.stages or "asked" in (mine.kind, its.kind)
    if others or not (trial.clears and better.clears):
        return False
    if mine.kind == its.kind == "autocast":  # around forward is enough
        return mine.change.get("autocast") == its.change.get("autocast") and its.change.get("scope") is None
    if mine.kind == its.kind == "model" and not its.given:  # inputs need no cast then
        return mine.change.get("to") == its.change.get("to")
    same = (trial.casts, trial.bytes, trial.effects) == (better.casts, better.bytes, better.effects)
    return bool(trial.casts or mine.given) and same and mine.given == its.given


def judge_edits(case: Case, finding: Finding, model: Path, reload: Reload, bench: Bench) -> Trial | None:
    """The best proved change of the model's source for one finding of a stage; None if none of RUN helps."""
    folder, found = folder_of(model), (case.flow, [finding])
    own = [*sources(*found, folder), *wholes(*found, folder), *limits(*found, folder)]
    tried = [attempt([case], model, reload, one) for one in own[:RUN]]
    tried = really_run([case], tried, lambda _: bench, finding)
    return next((trial for trial in sorted(tried, key=lambda trial: trial.rank) if trial.proved), None)


def _proposals(case: Case, folder: Path) -> Iterator[Proposal]:
    flow, findings = case.flow, case.findings
    for finding in findings:
        yield from trainings(flow, finding)
    yield from setups(flow, findings)
    yield from cut(flow, findings, folder)
    yield from sources(flow, findings, folder)
    yield from wholes(flow, findings, folder)
    yield from limits(flow, findings, folder)


def _without(cases: Sequence[Case], case: Case, finding: Finding, folder: Path) -> Trial | None:
    """What stands in the table for an error that nothing is proposed for; None if something is, or it is no error."""
    if finding.severity != "error" or next(_proposals(replace(case, findings=(finding,)), folder), None):
        return None
    before = sum(case.errors for case in cases)
    said = Proposal("none", f"{finding.code} {finding.message}")
    why = Failure("no proposal", unproposed(finding))
    return Trial(said, errors_before=before, errors_left=before, failed=why)


def _promise(cases: Sequence[Case], proposal: Proposal) -> tuple[bool, int, int, int, str]:
    """Sort key of what is run first: the cut, then what is thought to leave the fewest errors, then the narrowest."""
    left = sum(_thought(case, proposal) for case in cases)
    named = max(len(proposal.cast), 1)
    return proposal.kind != "cut", left, named, PROPOSALS.index(proposal.kind), proposal.what


def _every_kind_first(ordered: Sequence[Proposal]) -> list[Proposal]:
    """The best of each kind, then the others in order: many lines of code are no reason not to try autocast."""
    best = {one.kind: one for one in reversed(ordered)}
    return sorted(ordered, key=lambda one: best[one.kind] is not one)


def _thought(case: Case, proposal: Proposal) -> int:
    """How many errors a proposal may leave, without running: what acts at one place clears one, as far as is known."""
    found = predicted(case.flow, proposal)
    if found is not None:
        return found
    if proposal.kind == "input":
        return max(case.errors - len(proposal.given), 0)
    casts = sum(edit.casts for edit in proposal.edits)
    return max(case.errors - casts, 0) if proposal.kind in ("source", "inputs file") else 0


def _may_help(cases: Sequence[Case], proposal: Proposal) -> bool:
    """Whether fewer errors may be left, as far as that is known without running."""
    return sum(_thought(case, proposal) for case in cases) < sum(case.errors for case in cases)


def _not_run(cases: Sequence[Case], proposal: Proposal) -> Trial:
    before = sum(case.errors for case in cases)
    return Trial(proposal, errors_before=before, errors_left=before)
