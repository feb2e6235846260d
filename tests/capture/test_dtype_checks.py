"""Checks of a dtype that are written in Python: which errors are such, and what becomes of the run."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

import analyzer
from analyzer import Plan
from analyzer.capture.refusals.dtype_checks import looked_at
from tests.capture.checks import by_assert, by_else, by_if, by_method, of_nothing, of_shape

CPU = Plan(device="cpu")
X = torch.ones(2, 4)


@pytest.mark.parametrize("check", [by_if, by_assert, by_method, by_else])
def test_a_test_of_the_dtype_is_seen_with_its_tensor(check: Callable[[torch.Tensor], None]) -> None:
    with pytest.raises(Exception) as raised:
        check(X)
    (looked,) = looked_at(raised.value) or (None,)
    assert looked is X


@pytest.mark.parametrize("check", [of_shape, of_nothing])
def test_another_reason_is_none(check: Callable[[torch.Tensor], None]) -> None:
    with pytest.raises(Exception) as raised:
        check(X)
    assert looked_at(raised.value) is None


class Checked(nn.Module):
    """Layers with a check between them, in the module itself or in a part that takes tensors alone."""

    def __init__(self, check: Callable[[torch.Tensor], None]) -> None:
        super().__init__()
        self.inner, self.part, self.check = nn.Linear(4, 4), _Part(check), check

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.inner(self.part(self.inner(x)).float())


class _Part(nn.Module):
    def __init__(self, check: Callable[[torch.Tensor], None]) -> None:
        super().__init__()
        self.check = check

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.check(x)
        return x + 1


@pytest.mark.parametrize("check", [by_if, by_assert, by_else])
def test_a_part_that_refuses_is_repaired_and_the_run_goes_on(check: Callable[[torch.Tensor], None]) -> None:
    model = Checked(check)
    with pytest.raises(Exception) as raised:
        model(X)
    report = analyzer.trace(model, (X,), plan=CPU)
    (finding,) = [f for f in report.findings if f.severity == "error"]
    assert finding.message == str(raised.value) and finding.file.endswith("checks.py")
    assert not report.coverage.incomplete and report.outputs == ("float32",)
    assert "inner.weight" in {origin.name for operand in finding.operands for origin in operand.origins}


def test_a_check_that_nothing_repairs_is_a_finding_and_ends_the_run() -> None:
    def always(x: torch.Tensor) -> torch.Tensor:
        y = x.double()
        if y.dtype != torch.float32:
            raise ValueError(f"expected float32, got {y.dtype}")
        return y

    report = analyzer.trace(lambda x: always(x * 2), (X,), plan=CPU)
    (finding,) = [f for f in report.findings if f.severity == "error"]
    assert finding.message == "expected float32, got torch.float64"
    assert [operand.dtype for operand in finding.operands] == ["float64"]
    assert "expected float32" in report.coverage.incomplete


def test_an_error_of_another_kind_is_no_finding() -> None:
    report = analyzer.trace(Checked(of_shape), (X,), plan=CPU)
    assert not report.findings and "only three rows" in report.coverage.incomplete


def test_a_module_that_takes_a_cache_is_not_called_twice() -> None:
    class Caching(nn.Module):
        def forward(self, x: torch.Tensor, cache: set[int]) -> torch.Tensor:
            cache.add(len(cache))
            by_if(x)
            return x

    class Outer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer, self.part = nn.Linear(4, 4), Caching()

        def forward(self, x: torch.Tensor, cache: set[int]) -> torch.Tensor:
            return self.part(self.layer(x), cache)

    cache: set[int] = set()
    report = analyzer.trace(Outer(), (X, cache), plan=CPU)
    assert cache == {0} and report.coverage.incomplete
    assert [f.message for f in report.findings] == ["only bf16"]
