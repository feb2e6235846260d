"""A slice of `tests.truth.autocast`: autocast in a capture against the device's own kernels on fake tensors."""

from __future__ import annotations

from itertools import chain

import pytest

from analyzer.capture.autocast import policies
from tests.truth.autocast import compare, reason, samples
from tests.truth.autocast_calls import calls


@pytest.mark.parametrize(("device", "lower"), [("cuda", "bfloat16"), ("cuda", "float16"), ("xpu", "float16")])
def test_casts_and_dtypes_are_those_of_the_devices_kernels(device: str, lower: str) -> None:
    given = samples(lower, 1, device, ("lower", "first float32"))
    table = compare(device, lower, chain(given, calls(device, lower)))
    assert [words for name, words in table.differ if not reason(name, words)] == []
    assert len(table.ops) > 0.6 * len(list(policies.overloads(device)))
    assert table.agreed > 0.9 * table.samples > 100
