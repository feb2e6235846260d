"""Values that are put at places: as many as the real kernel takes, in its words where they are not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

import analyzer
from analyzer.ir.plan import Plan

IDS = torch.tensor([[3, 5, 5, 3, 5]])


def put(x: Any, index: Any, values: Any) -> Any:
    x = x + 0
    x[index] = values
    return x


CASES: dict[str, Callable[[Any, Any], Any]] = {
    "as many": lambda x, v: put(x, IDS == 5, v[:3]),
    "one for all": lambda x, v: put(x, IDS == 5, v[0]),
    "a number": lambda x, v: put(x, IDS == 5, 1.0),
    "leading ones": lambda x, v: put(x, IDS == 5, v[None, None, :3]),
    "none": lambda x, v: put(x, IDS == 7, v[:0]),
    "fewer": lambda x, v: put(x, IDS == 5, v[:2]),
    "more": lambda x, v: put(x, IDS == 5, v),
    "for no place": lambda x, v: put(x, IDS == 7, v),
    "at positions": lambda x, v: put(x, (torch.tensor([0]), torch.tensor([1, 2])), v),
    "at positions of all": lambda x, v: put(x, (slice(None), torch.tensor([1, 2])), v[:2]),
    "wider": lambda x, v: put(x, IDS == 5, v[:3, :2]),
    "the operator": lambda x, v: torch.index_put(x, [IDS == 5], v[:2]),
    "added up": lambda x, v: torch.index_put(x, [torch.tensor([0]), torch.tensor([1, 1])], v[:2], accumulate=True),
}


@pytest.mark.parametrize("name", CASES)
def test_it_is_taken_or_raises_as_for_real(name: str) -> None:
    given = torch.zeros(1, 5, 4), torch.ones(6, 4)
    try:
        CASES[name](*given)
        words = ""
    except RuntimeError as error:
        words = str(error)
    report = analyzer.trace(CASES[name], given, plan=Plan(device="cpu"))
    assert (
        report.coverage.incomplete.startswith(f"the model stopped with RuntimeError: {words} at")
        if words
        else (not report.coverage.incomplete)
    )
