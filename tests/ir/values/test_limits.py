"""What a dtype holds, against torch itself."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from analyzer.ir.values.limits import LIMITS

each = pytest.mark.parametrize("name", sorted(LIMITS))


def _in(name: str, number: float) -> float:
    return float(torch.tensor(number, dtype=torch.float64).to(getattr(torch, name)))


@each
def test_the_ends_are_those_of_torch(name: str) -> None:
    limits, info = LIMITS[name], torch.finfo(getattr(torch, name))
    little = 2.0 ** -(limits.bits + 2)

    assert _in(name, limits.overflow) == float("inf")
    assert _in(name, limits.overflow * (1 - little)) == info.max
    assert _in(name, limits.underflow) == 0.0
    assert _in(name, limits.underflow * (1 + little)) == info.smallest_normal * info.eps
    counted = torch.arange(max(limits.whole - 5000, 0), limits.whole + 1)
    assert torch.equal(counted.to(getattr(torch, name)).long(), counted)
    assert _in(name, float(limits.whole + 1)) == limits.whole


@given(st.sampled_from(sorted(LIMITS)), st.floats(-1e6, 1e6) | st.integers(-5000, 5000).map(float))
def test_what_is_held_is_what_a_cast_leaves_alone(name: str, number: float) -> None:
    if number == 0 or abs(number) > 1e-4:  # below, float16 is coarser than its precision says
        assert LIMITS[name].holds(number) == (_in(name, number) == number)
