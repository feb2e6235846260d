"""Every fix that is said to clear all of a case is applied to the real model, which then runs and gives the values."""

from __future__ import annotations

import re

import pytest

from analyzer.ir.literal_types import PROPOSALS
from tests.corpus.mending import RAISING, outcomes
from tests.corpus.page import WANTED, changed, mends
from tests.corpus.variants import VARIANTS
from tests.versions import five

TWICE = re.compile(r"\.(to\(torch\.\w+\)|float\(\)|half\(\)|double\(\)|bfloat16\(\))\.to\(")
"""A cast with another one behind it."""


@pytest.mark.parametrize("name", [*RAISING, *VARIANTS])
def test_every_fix_mends_the_real_run(name: str) -> None:
    wrong = [(one.trial.proposal.what, one.words, one.distance) for one in outcomes(name) if not one.mends]
    assert wrong == []


@pytest.mark.parametrize("name", [*RAISING, *VARIANTS])
def test_no_cast_is_put_behind_a_cast(name: str) -> None:
    edits = [edit for one in outcomes(name) for edit in one.trial.proposal.edits]
    assert [line for edit in edits for line in changed(edit) if TWICE.search(line)] == []


def test_every_kind_of_change_is_run() -> None:
    kinds = {one.trial.proposal.kind for name in (*RAISING, *VARIANTS) for one in outcomes(name)}
    assert kinds == {*PROPOSALS} - {"none", "asked"}


@pytest.mark.parametrize("name", [*RAISING, *VARIANTS])
def test_each_fix_says_what_becomes_of_the_values(name: str) -> None:
    for one in outcomes(name):
        exact = all(effect.exact for effect in one.trial.effects)
        assert one.trial.values.startswith("no value is rounded" if exact else "values: ")


@five
def test_most_of_what_raises_has_a_fix() -> None:
    assert sum(map(mends, RAISING)) >= WANTED * len(RAISING)
    assert sum(map(mends, VARIANTS)) >= WANTED * len(VARIANTS)
