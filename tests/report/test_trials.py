"""Trials of fixes come back from JSON as they went in, and what is none is refused in one line."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any, get_args

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from rich.console import Console

from analyzer.actions.fix import run_fix
from analyzer.errors import AnalyzerError
from analyzer.ir.fixes.effects import Effect
from analyzer.ir.fixes.proposals import Edit, Failure, Proposal, Trial
from analyzer.ir.literal_types import EFFECTS, PROPOSALS, STAGES, FailureKind
from analyzer.ir.plan import Engine, Plan, Training, Wrap
from analyzer.loaders.request import ModelRequest
from analyzer.render import fixes
from analyzer.report.trials import parse_trials, trials_to_json
from tests.check.folders import sample
from tests.mutations import mutated

texts = st.text(st.characters(codec="utf-8"), max_size=8)
dtypes = st.sampled_from(["float32", "bfloat16", "float16"])
sets = st.dictionaries(texts, dtypes, max_size=3)
wraps = st.builds(Wrap, st.integers(1, 2), classes=st.lists(texts, max_size=2).map(tuple), param_dtype=dtypes)
trainings = st.builds(
    Training, texts, st.booleans(), fsdp=st.none() | wraps, deepspeed=st.none() | st.builds(Engine, st.integers(0, 3)),
    reentrant=st.none() | st.booleans(),
)  # fmt: skip
plans = st.builds(
    Plan, dtype=st.none() | dtypes, set=sets, input_dtypes=sets, train=st.booleans(), stage=st.sampled_from(STAGES),
    training=st.none() | trainings, read=st.lists(texts, max_size=2).map(tuple),
)  # fmt: skip
changes = st.fixed_dictionaries(
    {},
    optional={"to": st.none() | dtypes, "set": sets, "train": st.booleans(), "training": trainings,
              "autocast": st.sampled_from([None, "cuda:bfloat16"])},
)  # fmt: skip
failures = st.none() | st.builds(Failure, st.sampled_from(get_args(FailureKind)), texts)
files = st.sampled_from(["m.py", "a/b c.py", "ü.py"])
edits = st.builds(Edit, files, st.just(1), texts, texts, st.integers(1, 3), st.booleans())
effects = st.lists(st.builds(Effect, st.sampled_from(EFFECTS), dtypes, dtypes, st.integers(1, 9), texts), max_size=2)
proposals = st.builds(
    Proposal, st.sampled_from(PROPOSALS), texts, changes, st.lists(plans, max_size=2).map(tuple),
    st.lists(edits, max_size=2).map(tuple), st.none() | st.just(Path("a b/inputs.py")), failures,
    effects.map(tuple), st.integers(0, 3),
)  # fmt: skip
counts = st.integers(0, 1 << 40)
trials = st.builds(
    Trial,
    proposals,
    st.booleans(),
    counts,
    counts,
    counts,
    st.integers(-(1 << 40), 1 << 40),
    counts,
    texts,
    failures,
    losses=counts,
    effects=effects.map(tuple),
)


@given(counts, st.lists(trials, max_size=3), st.lists(plans, max_size=2), texts)
@settings(deadline=None, phases=[Phase.generate])
def test_trials_come_back_as_they_were(errors: int, made: list[Trial], under: list[Plan], early: str) -> None:
    data = trials_to_json(errors, made, under, early)
    tried = parse_trials(data, "the worker's answer")
    assert (tried.errors, list(tried.trials), list(tried.plans), tried.incomplete) == (errors, made, under, early)
    assert trials_to_json(tried.errors, tried.trials, tried.plans, tried.incomplete) == data
    assert fixes.to_markdown(tried.trials) == fixes.to_markdown(made)


def test_the_trials_of_a_real_model_are_shown_and_applied_alike(tmp_path: Path) -> None:
    folder = sample(tmp_path / "m")
    plan = Plan(device="cpu")
    errors, made, _ = run_fix(ModelRequest(folder, trust_remote_code=True), [plan])
    tried = parse_trials(trials_to_json(errors, made, [plan]), "it")
    assert list(tried.trials) == made and any(trial.proposal.edits for trial in made)
    shown = []
    for trials in (made, tried.trials):
        console = Console(file=io.StringIO(), width=120)
        fixes.show(trials, console, errors, diffs=True)
        shown.append((console.file.getvalue(), fixes.to_json(trials)))  # type: ignore[attr-defined]
    assert shown[0] == shown[1]
    assert [one.proposal.plan(tried.plans[0]) for one in tried.trials] == [one.proposal.plan(plan) for one in made]


def test_changed_data_are_trials_or_are_refused_in_one_line() -> None:
    stage = Plan(set={"a": "float32"}, training=Training(fsdp=Wrap(classes=("L",)), deepspeed=Engine(3)))
    source = Proposal("cut", "both", {"set": {"a": "float32"}}, edits=(Edit("m.py", 1, "a", "b"),), inputs=Path("i.py"))
    made = [
        Trial(source, True, 3, 0),
        Trial(Proposal("recipe", "key", stages=(stage,)), failed=Failure("could not be run", "why")),
    ]
    data, refused = json.loads(trials_to_json(3, made, [stage])), 0
    for seed in range(600):
        try:
            tried = parse_trials(json.dumps(mutated(data, Random(seed))).encode(), "it")
        except AnalyzerError as error:
            refused += 1
            assert str(error).startswith("it cannot be read: ") and "\n" not in str(error)
        else:
            fixes.to_json(tried.trials), fixes.to_markdown(tried.trials), [trial.rank for trial in tried.trials]
    assert 200 < refused < 600


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"schema": 2}, "no trials of version 1"),
        ({"errors": "1"}, "errors: '1' is no whole number"),
        ({"trials": None}, "trials: None is no list"),
    ],
)
def test_what_holds_no_trials_is_refused(change: dict[str, Any], words: str) -> None:
    data = {**json.loads(trials_to_json(0, [])), **change}
    with pytest.raises(AnalyzerError, match=words):
        parse_trials(json.dumps(data).encode(), "it")


@pytest.mark.parametrize(
    ("proposal", "words"),
    [
        ({"kind": "other"}, "kind: 'other' is none of stored, input"),
        ({"change": {"colour": "red"}}, "a plan has no field colour"),
        ({"change": {"train": "yes"}}, "neither true nor false"),
        ({"change": {"set": {"a": 3}}}, "3 is no text"),
        ({"stages": [{"scope": "never"}]}, "scope: 'never' is none of forward, run"),
        ({"edits": [{"file": "a.py"}]}, "line: it is missing"),
    ],
)
def test_a_proposal_that_is_none_is_refused(proposal: dict[str, Any], words: str) -> None:
    data = json.loads(trials_to_json(1, [Trial(Proposal("asked", "to=bf16", {"to": "bfloat16"}))]))
    data["trials"][0]["proposal"] |= proposal
    with pytest.raises(AnalyzerError, match=words):
        parse_trials(json.dumps(data).encode(), "it")


@pytest.mark.parametrize("data", [b"", b"[]", b"\xff", b"9" * 5000, b"[" * 100_000])
def test_other_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(AnalyzerError, match="cannot be read"):
        parse_trials(data, "it")


def test_an_asked_for_proposal_keeps_that_nothing_was_set() -> None:
    asked = Trial(Proposal("asked", "autocast=none", {"autocast": None}), failed=Failure("cannot be set", "why"))
    (again,) = parse_trials(trials_to_json(0, [asked]), "it").trials
    assert again == asked and again.proposal.plan(Plan(autocast="cuda:bfloat16")).autocast is None
    assert again != replace(asked, failed=None)
