"""The run in float64: nothing in it is narrower, whatever dtypes its code names, and every write arrives."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from analyzer.api import from_callable
from analyzer.fixes.real.comparison import digits_of, distances, missing, not_finite, tolerance
from analyzer.fixes.real.float64 import computing_in_float64, in_float64

TENTHS = [0.1, 0.2, 0.3, 0.4]
X = torch.linspace(-2, 2, 12, dtype=torch.float64).reshape(3, 4)


def _written(x: torch.Tensor) -> torch.Tensor:
    into = torch.zeros(3, 4, dtype=torch.float16)
    into[1:].copy_(x[1:].half())
    into.index_add_(0, torch.tensor([0]), x[:1].half())
    return into


def _out(x: torch.Tensor) -> torch.Tensor:
    into = torch.empty(3, 4)
    torch.mul(x, x, out=into)
    return into


NARROW: list[tuple[Callable[[torch.Tensor], torch.Tensor], Callable[[torch.Tensor], torch.Tensor]]] = [
    (lambda x: x.to(torch.bfloat16) @ x.bfloat16().T, lambda x: x @ x.T),
    (lambda x: F.softmax(x.half(), -1, dtype=torch.float32), lambda x: F.softmax(x, -1)),
    (lambda x: x + torch.tensor([0.1, 0.2, 0.3, 0.4], dtype=torch.float16), lambda x: x + torch.tensor(TENTHS)),
    (lambda x: x * torch.arange(4, dtype=torch.bfloat16), lambda x: x * torch.arange(4)),
    (lambda x: x @ torch.from_numpy(np.eye(4, dtype=np.float32)), lambda x: x),
    (_written, lambda x: x),
    (_out, lambda x: x * x),
    (lambda x: torch.view_as_complex(x.float().reshape(3, 2, 2)).abs(), lambda x: x.reshape(3, 2, 2).norm(dim=-1)),
]  # fmt: skip


@pytest.mark.parametrize("case", range(len(NARROW)))
def test_code_that_names_narrow_dtypes_gives_what_float64_gives(case: int) -> None:
    narrow, wide = NARROW[case]
    with computing_in_float64():
        found = narrow(X)
    if case == 2:  # numbers of Python are read in the dtype that is named, and rounded there
        assert torch.allclose(found, wide(X), atol=1e-3)
    else:
        assert torch.equal(found, wide(X)) or torch.allclose(found, wide(X), rtol=1e-14, atol=1e-14)
    assert found.dtype == torch.float64
    assert torch.get_default_dtype() == torch.float32


@pytest.mark.skipif(not hasattr(torch, "_grouped_mm"), reason="since torch 2.8")
def test_an_operator_that_has_no_kernel_for_float64_computes_in_float32() -> None:
    x, w, ends = torch.randn(8, 16), torch.randn(2, 16, 8), torch.tensor([4, 8], dtype=torch.int32)
    with computing_in_float64():
        found = torch._grouped_mm(x.double(), w.double(), offs=ends)
    assert found.dtype == torch.float64
    assert torch.allclose(found, torch.cat([x[:4] @ w[0], x[4:] @ w[1]]).double(), atol=1e-4)
    with pytest.raises(RuntimeError, match="cannot be multiplied"), computing_in_float64():
        x.double() @ x.double()


def test_bits_that_are_read_as_another_dtype_are_refused() -> None:
    with pytest.raises(NotImplementedError, match="bits"), computing_in_float64():
        X.float().view(torch.int32)


def test_a_backward_pass_is_in_float64_too() -> None:
    net = nn.Linear(4, 2).bfloat16()
    wide = in_float64(from_callable(net, (X.bfloat16(),), {})).inputs["args"][0]
    with computing_in_float64():
        net(wide.bfloat16()).float().sum().backward()
    assert net.weight.grad is not None and net.weight.grad.dtype == torch.float64
    assert torch.equal(net.weight.grad[0], wide.sum(0))


class Shared(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("whole", torch.zeros(4))
        self.register_buffer("part", self.whole[1:3])  # type: ignore[index, arg-type]
        self.w = nn.Parameter(torch.ones(4))
        self.tied = self.w


def test_tensors_that_share_memory_share_it_afterwards() -> None:
    net: Any = Shared()
    in_float64(replace(from_callable(net, (), {}), inputs={}))
    net.whole += 3
    assert net.part.tolist() == [3.0, 3.0] and net.part.dtype == torch.float64
    assert net.tied is net.w


def test_results_are_rounded_to_the_digits_of_a_dtype_up_or_down() -> None:
    values = torch.linspace(1, 2, 1000, dtype=torch.float64)
    with computing_in_float64(8):
        rounded = values * 1.2345678
    true = values * 1.2345678
    assert torch.equal(rounded, rounded.bfloat16().double())  # it holds no more digits
    assert ((rounded - true).abs() / true).max() < 2.0**-7
    assert ((rounded - true).mean() / true.mean()).abs() < 2.0**-12  # by chance, so that nothing is lost on the whole
    with computing_in_float64(8, seed=1):
        assert not torch.equal(values * 1.2345678, rounded)


@pytest.mark.parametrize(
    ("dtypes", "digits"),
    [({"bfloat16", "float32"}, 8), ({"float16"}, 11), ({"int64"}, 24), ({"float8_e4m3fn"}, 4), ({"complex64"}, 24)],
)
def test_the_narrowest_dtype_decides(dtypes: set[str], digits: int) -> None:
    assert digits_of(dtypes) == digits
    assert tolerance(digits) == max(8 * 2.0 ** (1 - digits), 1e-3)


def test_infinity_counts_where_float64_has_a_number_and_a_mask_does_not() -> None:
    truth = {"a": torch.tensor([1.0, -1.7e308, -torch.inf, 2.0], dtype=torch.float64)}
    masked = {"a": torch.tensor([1.0, -torch.inf, -65504.0, 2.0]).half()}
    assert not_finite(masked, truth) == ""
    assert distances(masked, truth)["a"] == 0.0
    assert "gives infinity in a" in not_finite({"a": torch.tensor([torch.inf, 0, 0, 2.0])}, truth)
    assert "gives NaN in a" in not_finite({"a": torch.tensor([1.0, 0, 0, torch.nan])}, truth)
    rows = torch.ones(200, 4, dtype=torch.float64)
    wrong = rows.clone()
    wrong[7] = 0
    assert distances({"a": wrong}, {"a": rows})["a"] == 1.0  # one row of many
    assert missing({}, {"buffer k": X}) == "does not write buffer k"
    assert missing({"output 0": X[:2]}, {"output 0": X}) == "gives output 0 in another shape"
