"""The fast slice of the operator database: the first sample of every operator that takes two float tensors."""

from __future__ import annotations

import pytest
import torch

from tests.truth.opinfo import ALL, KINDS, cases, compare, kind_cases, operators


@pytest.mark.parametrize("other", [torch.bfloat16, torch.float64])
def test_every_operator_is_refused_or_yields_as_the_kernel_says(other: torch.dtype) -> None:
    results = [compare(case) for op in operators() for case in cases(op, other, samples=1)]
    assert len({r.op for r in results}) > 200
    assert sum(bool(r.real.refused) for r in results) > 100
    assert [r for r in results if r.real != r.trace] == []


def test_every_operator_in_some_other_kind_is_refused_or_yields_as_the_kernel_says() -> None:
    """Of each operator the first sample: its first tensor in one of the kinds, in turn, and all floats as integers."""
    found = []
    for number, op in enumerate(operators()):
        kind = str(KINDS[number % len(KINDS)]).removeprefix("torch.")
        wanted = [c for c in kind_cases(op, samples=1) if (c.other, c.changed[0]) == (kind, "0")]
        uniform = [c for c in kind_cases(op, samples=1) if (c.other, c.changed) == ("int64", ALL)]
        found += [compare(case) for case in wanted + uniform]
    assert len(found) > 800 and sum(bool(r.real.refused) for r in found) > 300
    assert [r for r in found if r.real != r.trace] == []
