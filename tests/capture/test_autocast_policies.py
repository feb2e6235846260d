"""A slice of `tests.truth.autocast`: autocast in a capture against the device's own kernels on fake tensors."""

from __future__ import annotations

from itertools import chain

import pytest

from analyzer.capture.autocast import policies
from tests.slices import at_least, sliced
from tests.truth.autocast import compare, reason, samples
from tests.truth.autocast_calls import calls

PARTS = 4


@pytest.mark.parametrize(("device", "lower"), [("cuda", "bfloat16"), ("cuda", "float16"), ("xpu", "float16")])
def test_casts_and_dtypes_are_those_of_the_devices_kernels(device: str, lower: str) -> None:
    every = chain(samples(lower, 1, device, ("lower", "first float32")), calls(device, lower))
    table = compare(device, lower, sliced(every, PARTS, lambda one: one[0].split()[0]))
    assert [words for name, words in table.differ if not reason(name, words)] == []
    assert len(table.ops) > at_least(int(0.6 * len(list(policies.overloads(device)))), PARTS)
    assert table.agreed > 0.9 * table.samples > at_least(100, PARTS)
