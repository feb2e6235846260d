"""The fast slice of the operator database: the first sample of every operator that takes two float tensors."""

from __future__ import annotations

import pytest
import torch

from tests.truth.opinfo import cases, compare, operators


@pytest.mark.parametrize("other", [torch.bfloat16, torch.float64])
def test_every_operator_is_refused_or_yields_as_the_kernel_says(other: torch.dtype) -> None:
    results = [compare(case) for op in operators() for case in cases(op, other, samples=1)]
    assert len({r.op for r in results}) > 200
    assert sum(bool(r.real.refused) for r in results) > 100
    assert [r for r in results if r.real != r.trace] == []
