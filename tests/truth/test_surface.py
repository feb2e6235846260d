"""A slice of the small modules against real runs, and what the comparison itself would notice."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.truth.surface import CASES, EXPLAINED, VARIANTS, Case, Variant, cases
from tests.truth.surface_compare import Outcome, Result, compare
from tests.truth.surface_page import section, sign

FAST = ("clean", "f32 in")
TOLD = [(c, v) for c, v in cases() if v.name in FAST and (c.name, v.name) not in EXPLAINED]


@pytest.mark.parametrize(("case", "variant"), TOLD, ids=[f"{c.name}-{v.name}" for c, v in TOLD])
def test_the_trace_is_what_really_happens(case: Case, variant: Variant) -> None:
    result = compare(case, variant)
    if case.stops:
        assert case.stops in result.traced.error and result.traced.stopped
    else:
        assert result.sign in ("=", "!"), result


def test_the_table_is_wide_enough() -> None:
    assert len({case.name for case in CASES}) == len(CASES) >= 40
    assert len({case.family for case in CASES}) >= 7
    assert len(VARIANTS) >= 6
    assert all(name in {case.name for case in CASES} for name, _ in EXPLAINED)


RAN = Outcome((("float32", (3, 8)),))
RAISED = Outcome(error="mat1 and mat2 must have the same dtype, but got Float and BFloat16")
RAISED = replace(RAISED, whole=RAISED.error)
COMPILED = Outcome(error="RuntimeError when making fake tensor call", whole=f"got RuntimeError('{RAISED.error}')")


@pytest.mark.parametrize(
    ("real", "traced", "expected"),
    [
        (RAN, RAN, "="),
        (RAN, Outcome((("float64", (3, 8)),)), "X"),
        (RAN, Outcome((("float32", (3, 1, 8)),)), "X"),
        (RAISED, RAISED, "!"),
        (RAISED, replace(RAISED, stopped=True), "."),
        (RAISED, RAN, "X"),
        (RAN, RAISED, "X"),
        (RAISED, replace(RAISED, error="other words than the real ones"), "X"),
        (COMPILED, RAISED, "!"),
        (COMPILED, replace(RAISED, error="got"), "X"),
    ],
)
def test_a_sign_tells_every_kind_of_disagreement(real: Outcome, traced: Outcome, expected: str) -> None:
    result = Result("vmap", "torch.func", "f32 in", real, traced)
    assert sign(result) == expected
    assert f"| vmap | torch.func |  |  | {expected} |" in section([result])
