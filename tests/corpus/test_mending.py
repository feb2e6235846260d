"""Every fix that is said to clear all of a case is applied to the real model, which then runs and gives the values."""

from __future__ import annotations

import re

import pytest

from analyzer.ir.literal_types import PROPOSALS
from tests.corpus.mending import RAISING, outcomes
from tests.corpus.page import WANTED, changed, mends
from tests.corpus.variants import VARIANTS
from tests.slices import at_least, sliced, whole
from tests.versions import five

TWICE = re.compile(r"\.(to\(torch\.\w+\)|float\(\)|half\(\)|double\(\)|bfloat16\(\))\.to\(")
"""A cast with another one behind it."""


EVERY = [*RAISING, *VARIANTS]


@pytest.mark.parametrize("name", list(sliced(EVERY, 3)))
def test_every_fix_mends_the_real_run_and_says_what_becomes_of_the_values(name: str) -> None:
    found = outcomes(name)
    assert [(one.trial.proposal.what, one.words, one.distance) for one in found if not one.mends] == []
    edits = [edit for one in found for edit in one.trial.proposal.edits]
    assert [line for edit in edits for line in changed(edit) if TWICE.search(line)] == []  # no cast behind a cast
    for one in found:
        exact = all(effect.exact for effect in one.trial.effects)
        assert one.trial.values.startswith("no value is rounded" if exact else "values: ")


def test_a_slice_is_no_small_one() -> None:
    assert len(list(sliced(EVERY, 3))) >= at_least(len(EVERY), 3)


@whole
def test_every_kind_of_change_is_run() -> None:
    kinds = {one.trial.proposal.kind for name in EVERY for one in outcomes(name)}
    assert kinds == {*PROPOSALS} - {"none", "asked"}


@five
@whole
def test_most_of_what_raises_has_a_fix() -> None:
    assert sum(map(mends, RAISING)) >= WANTED * len(RAISING)
    assert sum(map(mends, VARIANTS)) >= WANTED * len(VARIANTS)
