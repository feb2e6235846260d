"""Every fix that is said to clear all of a case is applied to the real model, which then runs and gives the values."""

from __future__ import annotations

import pytest

from tests.corpus.mending import RAISING, outcomes
from tests.corpus.page import WANTED, mends
from tests.corpus.variants import VARIANTS
from tests.versions import five


@pytest.mark.parametrize("name", [*RAISING, *VARIANTS])
def test_every_fix_mends_the_real_run(name: str) -> None:
    wrong = [(one.trial.proposal.what, one.words, one.distance) for one in outcomes(name) if not one.mends]
    assert wrong == []


@five
def test_most_of_what_raises_has_a_fix() -> None:
    assert sum(map(mends, RAISING)) >= WANTED * len(RAISING)
    assert sum(map(mends, VARIANTS)) >= WANTED * len(VARIANTS)
