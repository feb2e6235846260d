"""The fast slice of the operator database: the first sample of every operator that takes two float tensors."""

from __future__ import annotations

import pytest
import torch

from tests.slices import at_least, sliced
from tests.truth.opinfo import ALL, KINDS, cases, compare, kind_cases, operators

PARTS = 10
PART = list(sliced(operators(), PARTS, lambda op: str(op.name)))


@pytest.mark.parametrize("other", [torch.bfloat16, torch.float64])
def test_every_operator_is_refused_or_yields_as_the_kernel_says(other: torch.dtype) -> None:
    results = [compare(case) for op in PART for case in cases(op, other, samples=1)]
    assert len({r.op for r in results}) > at_least(200, PARTS)
    assert sum(bool(r.real.refused) for r in results) > at_least(100, PARTS)
    assert [r for r in results if r.real != r.trace] == []


def test_every_operator_in_some_other_kind_is_refused_or_yields_as_the_kernel_says() -> None:
    """Of each operator the first sample: its first tensor in one of the kinds, in turn, and all floats as integers."""
    found = []
    for number, op in enumerate(PART):
        kind = str(KINDS[number % len(KINDS)]).removeprefix("torch.")
        wanted = [c for c in kind_cases(op, samples=1) if (c.other, c.changed[0]) == (kind, "0")]
        uniform = [c for c in kind_cases(op, samples=1) if (c.other, c.changed) == ("int64", ALL)]
        found += [compare(case) for case in wanted + uniform]
    assert len(found) > at_least(800, PARTS) and sum(bool(r.real.refused) for r in found) > at_least(300, PARTS)
    zeros = [
        r for r in found if r.real.refused == "ZeroDivisionError"
    ]  # of values: a float under one is zero as integer
    assert all(r.real.refused in r.trace.stopped for r in zeros)
    assert [r for r in found if r.real != r.trace and r not in zeros] == []
