"""The words of a refused call are those of a run that nobody watches, though a capture watches."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F

import analyzer
from analyzer.capture.refusals.replay import words
from analyzer.ir.plan import Plan
from tests.capture.real import watched

BF16, F64 = torch.bfloat16, torch.float64
Call = Callable[[torch.Tensor, torch.Tensor], Any]


def _plain(call: Call, given: tuple[torch.Tensor, torch.Tensor]) -> str:
    with pytest.raises(RuntimeError) as raised, torch.no_grad():
        call(*given)
    return str(raised.value)


def _traced(call: Call, given: tuple[torch.Tensor, torch.Tensor]) -> list[str]:
    findings = analyzer.trace(call, given, plan=Plan(device="cpu")).findings
    return [f.message for f in findings if f.severity == "error"]


CALLS: dict[str, Call] = {
    "matmul": torch.matmul,
    "@": lambda x, y: x @ y,
    "after another": lambda x, y: (x * 2) @ y.relu(),
    "transposed": lambda x, y: x.transpose(1, 2) @ y,
}


@pytest.mark.parametrize("other", [BF16, F64])
@pytest.mark.parametrize("size", [5, 1200])
@pytest.mark.parametrize("name", CALLS)
def test_a_batch_of_one(name: str, size: int, other: torch.dtype) -> None:
    call, given = CALLS[name], (torch.ones(4, size, size), torch.ones(1, size, size, dtype=other))
    assert _traced(call, given) == [_plain(call, given)]


def test_watching_is_why_the_words_differed() -> None:
    given = torch.ones(4, 5, 5), torch.ones(1, 5, 5, dtype=BF16)
    with pytest.raises(RuntimeError) as raised, torch.no_grad(), watched():
        torch.matmul(*given)
    seen = str(raised.value)
    assert words(seen, (torch.matmul, given, {})) == _plain(torch.matmul, given) != seen


@pytest.mark.parametrize("needs", [False, True])
def test_the_layout_and_the_need_of_gradients_are_kept(needs: bool) -> None:
    x, weight = torch.ones(2, 4, 3).transpose(1, 2), torch.ones(4, 5, dtype=BF16, requires_grad=needs)
    assert _traced(torch.matmul, (x, weight)) == [_plain(torch.matmul, (x, weight))]


def test_other_words_for_another_reason_do_not_count() -> None:
    call = F.cross_entropy, (torch.ones(2, 3), torch.full((2,), 7)), {}
    assert words("what the kernel said", call) == "what the kernel said"
    assert words("what the kernel said", (_plain, (), {})) == "what the kernel said"


def test_random_numbers_go_on_as_if_nothing_had_been_asked() -> None:
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    assert words("no", (F.dropout, (torch.ones(4),), {})) == "no"
    assert torch.rand(1) == expected
