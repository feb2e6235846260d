"""The law of the ranking: a total order that no order of trying changes, and in which proof comes before cost."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from analyzer.ir.fixes.effects import Effect
from analyzer.ir.fixes.proof import MENDS, NOT_RUN, RealRun
from analyzer.ir.fixes.proposals import Failure, Proposal, Trial
from analyzer.ir.literal_types import EFFECTS, PROPOSALS

_FEW = st.integers(0, 2)
_KINDS = st.sampled_from(["stored", "source", "model"])
_EFFECTS = st.builds(Effect, st.sampled_from(EFFECTS), st.just("float32"), st.sampled_from(["bfloat16", "float64"]))
_RUNS = st.builds(
    Trial,
    proposal=st.builds(Proposal, kind=_KINDS, what=st.sampled_from(["a", "b", "c"])),
    ran=st.just(True),
    errors_before=_FEW,
    errors_left=_FEW,
    losses=_FEW,
    new_promotions=_FEW,
    bytes=st.integers(-2, 2),
    effects=st.lists(_EFFECTS, max_size=2).map(tuple),
    places=_FEW,
    real=st.sampled_from([MENDS, NOT_RUN, RealRun("fails", "why")]),
)
_NOT_RUN = st.builds(
    lambda what, errors, failed: Trial(Proposal("stored", what), False, errors, errors, failed=failed),
    st.sampled_from(["a", "b"]), _FEW, st.sampled_from([None, Failure("could not be run", "why")]),
)  # fmt: skip
_TRIALS = st.lists(_RUNS | _NOT_RUN, max_size=8)


@given(_TRIALS, st.randoms(use_true_random=False))
def test_the_order_does_not_depend_on_the_order_of_trying(trials: list[Trial], choose: object) -> None:
    ranked = sorted(trials, key=lambda trial: trial.rank)
    choose.shuffle(trials)  # type: ignore[attr-defined]
    assert [trial.rank for trial in sorted(trials, key=lambda trial: trial.rank)] == [trial.rank for trial in ranked]
    assert sorted(ranked, key=lambda trial: trial.rank) == ranked


@given(_RUNS | _NOT_RUN, _RUNS | _NOT_RUN)
def test_two_that_differ_in_what_they_do_are_never_equal(one: Trial, other: Trial) -> None:
    assert (one.rank < other.rank) + (other.rank < one.rank) + (one.rank == other.rank) == 1
    if one.rank == other.rank:
        assert (one.proposal.kind, one.proposal.what) == (other.proposal.kind, other.proposal.what)


@given(_RUNS | _NOT_RUN, _RUNS | _NOT_RUN)
def test_proof_comes_before_all_then_errors_losses_and_the_other_costs(one: Trial, other: Trial) -> None:
    if one.proved and not other.proved:
        assert one.rank < other.rank
    if one.helps and not other.helps and not other.proved:
        assert one.rank < other.rank
    if (one.proved, one.helps) != (other.proved, other.helps):
        return
    for fact in ("errors_left", "losses", "new_promotions", "places", "bytes"):
        mine, its = getattr(one, fact), getattr(other, fact)
        if mine != its:
            assert (one.rank < other.rank) == (mine < its)
            return
    for count in (_rounded, lambda trial: PROPOSALS.index(trial.proposal.kind), _casts):
        if count(one) != count(other):
            assert (one.rank < other.rank) == (count(one) < count(other))
            return


def _rounded(trial: Trial) -> int:
    return sum(one.kind != "number" and one.new == "bfloat16" for one in trial.effects)


def _casts(trial: Trial) -> int:
    return sum(one.kind == "cast" for one in trial.effects)
