"""Checks of a dtype that are written in Python: which errors are such, and what becomes of the run."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from contextlib import suppress

import numpy as np
import pytest
import torch
from torch import nn

import analyzer
from analyzer import Plan
from analyzer.capture.refusals.dtype_checks import looked_at
from tests.capture import checks
from tests.capture.checks import by_assert, by_else, by_if, by_method, of_nothing, of_shape

CPU, TRAIN = Plan(device="cpu"), Plan(device="cpu", train=True)
OTHERS: list[Callable[[torch.Tensor], None]] = [
    checks.by_assert_alone, checks.by_class_alone, checks.by_empty_words, checks.by_torch_assert,
    checks.by_torch_check, checks.by_torch_check_type, checks.by_torch_check_value, checks.by_other_error,
    checks.by_error_in_its_place, checks.by_local, checks.by_helper, checks.by_caller, checks.by_match,
    checks.by_table, checks.by_type, checks.by_isinstance, checks.by_early_return,
]  # fmt: skip
NONE: list[Callable[[torch.Tensor], None]] = [
    of_shape, of_nothing, checks.of_shape_that_names_the_dtype, checks.of_shape_told_by_torch,
    checks.of_shape_in_one_dtype, checks.of_rows_beside_a_dtype, checks.of_values_in_a_dtype, checks.of_a_mask,
]  # fmt: skip
X = torch.ones(2, 4)


@pytest.mark.parametrize("check", [by_if, by_assert, by_method, by_else, *OTHERS])
def test_a_test_of_the_dtype_is_seen_with_its_tensor(check: Callable[[torch.Tensor], None]) -> None:
    with pytest.raises(Exception) as raised:
        check(X)
    (looked,) = looked_at(raised.value) or (None,)
    assert looked is X or check is checks.by_local  # which gives its name to another tensor


@pytest.mark.parametrize("check", NONE)
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


def _words(error: BaseException) -> str:
    """What a person reads of an error: its words, of one without words or with a bare key its class."""
    (line,) = traceback.format_exception_only(error)
    kind = type(error).__name__
    return line.strip() if isinstance(error, KeyError) else line.strip().removeprefix(f"{kind}: ")


@pytest.mark.parametrize("plan", [CPU, TRAIN], ids=["inference", "training"])
@pytest.mark.parametrize("check", [by_if, by_assert, by_else, *OTHERS, checks.by_ways_that_no_source_shows])
def test_a_part_that_refuses_is_repaired_and_the_run_goes_on(check: Callable[[torch.Tensor], None], plan: Plan) -> None:
    model = Checked(check)
    with pytest.raises(Exception) as raised:
        model(X)
    report = analyzer.trace(model, (X,), plan=plan)
    (finding,) = [f for f in report.findings if f.severity == "error" and not f.phase]
    assert finding.message == _words(raised.value) and finding.file.endswith("checks.py")
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


@pytest.mark.parametrize("check", [*NONE, checks.of_the_first_call])
def test_an_error_of_another_kind_is_no_finding(check: Callable[[torch.Tensor], None]) -> None:
    with pytest.raises(Exception) as raised:
        Checked(check)(X)
    checks._SEEN.clear()
    report = analyzer.trace(Checked(check), (X,), plan=CPU)
    assert not report.findings and str(raised.value).splitlines()[0] in report.coverage.incomplete
    checks._SEEN.clear()


@pytest.mark.parametrize("check", [by_if, *OTHERS])
def test_a_check_before_any_operation_is_reported(check: Callable[[torch.Tensor], None]) -> None:
    with pytest.raises(Exception) as raised:
        _Part(check)(X)
    for target in (_Part(check), check):
        report = analyzer.trace(target, (X,), plan=CPU)
        assert [f.message for f in report.findings] == [_words(raised.value)]
        assert [operand.dtype for operand in report.findings[0].operands] == ["float32"]


@pytest.mark.parametrize("check", [checks.by_type, checks.by_isinstance, by_if, checks.by_match, checks.by_table])
def test_a_check_that_passes_is_clean_also_without_weights(check: Callable[[torch.Tensor], None]) -> None:
    x = torch.ones(2, 4, dtype=torch.int64 if check is checks.by_isinstance else torch.bfloat16)
    _Part(check)(x)
    report = analyzer.trace(nn.Sequential(_Part(check)).to("meta"), (x,), plan=CPU)
    assert report.ok and report.outputs == (str(x.dtype).removeprefix("torch."),)


class Handles(nn.Module):
    """Calls a part that refuses, and catches its error in a way."""

    def __init__(self, way: str, check: Callable[[torch.Tensor], None]) -> None:
        super().__init__()
        self.way, self.part, self.inner = way, _Part(check), nn.Linear(4, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.way == "suppress":
            with suppress(ValueError):
                return self.inner(self.part(x).float())
        if self.way == "except":
            try:
                x = self.part(x)
            except (KeyError, ValueError):
                x = x + 1
        if self.way == "again":
            try:
                x = self.part(x)
            except ValueError:
                raise
        if self.way == "another":
            try:
                x = self.part(x)
            except ValueError as error:
                raise RuntimeError(f"the part: {error}") from error
        if self.way == "of no such class":
            try:
                x = self.part(x)
            except KeyError:
                x = x + 1
        return self.inner(x.float())


@pytest.mark.parametrize("way", ["suppress", "except"])
def test_a_check_that_the_model_catches_is_no_finding(way: str) -> None:
    Handles(way, by_if)(X)
    report = analyzer.trace(Handles(way, by_if), (X,), plan=CPU)
    assert report.ok and not report.coverage.incomplete


@pytest.mark.parametrize("way", ["again", "another", "of no such class"])
def test_a_check_that_is_raised_again_is_found_in_the_words_that_leave_the_model(way: str) -> None:
    with pytest.raises(Exception) as raised:
        Handles(way, by_if)(X)
    report = analyzer.trace(Handles(way, by_if), (X,), plan=CPU)
    assert str(raised.value) in {f.message for f in report.findings if f.severity == "error"}
    assert not report.coverage.incomplete


def test_a_module_that_cannot_be_called_again_is_judged_by_its_source() -> None:
    class Told(nn.Module):
        def forward(self, x: torch.Tensor, cache: set[int]) -> torch.Tensor:
            tensors = [x * 2]
            if any(t.dtype != torch.bfloat16 for t in tensors):
                raise ValueError
            return x

    with pytest.raises(ValueError):
        Told()(X, {1})
    report = analyzer.trace(Told(), (X, {1}), plan=CPU)
    (finding,) = report.findings
    assert finding.message == "ValueError" and [operand.dtype for operand in finding.operands] == ["float32"]
    assert "ValueError" in report.coverage.incomplete


def test_no_tensor_of_a_trial_is_blamed() -> None:
    class Limited(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.Linear(4, 4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.clamp(min=torch.iinfo(self.inner(x.float()).dtype).min)

    with pytest.raises(TypeError) as raised:
        Limited()(X)
    report = analyzer.trace(Limited(), (X,), plan=CPU)
    (finding,) = report.findings
    assert finding.message == str(raised.value) and [operand.dtype for operand in finding.operands] == ["float32"]
    assert str(raised.value).split(".")[0] in report.coverage.incomplete


class ToNumpy(nn.Module):
    """Leaves torch by a way, and comes back."""

    def __init__(self, way: Callable[[torch.Tensor], np.ndarray]) -> None:
        super().__init__()
        self.inner, self.way = nn.Linear(4, 4), way

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.from_numpy(self.way(self.inner(x))) * 2


def _caught(h: torch.Tensor) -> np.ndarray:
    try:
        return h.detach().numpy()
    except TypeError:
        return h.detach().float().numpy()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float8_e4m3fn, torch.float32])
@pytest.mark.parametrize(
    "way", [lambda h: h.detach().numpy(), lambda h: np.asarray(h.detach()), lambda h: h.numpy(force=True), _caught]
)
def test_a_dtype_that_numpy_lacks_is_a_finding(way: Callable[[torch.Tensor], np.ndarray], dtype: torch.dtype) -> None:
    def cast(h: torch.Tensor) -> np.ndarray:
        return way(h.to(dtype))

    report = analyzer.trace(ToNumpy(cast), (X,), plan=CPU)
    try:
        ToNumpy(cast)(X)
    except TypeError as error:
        (finding,) = report.findings
        assert finding.message == str(error) and not report.coverage.incomplete
        assert [operand.dtype for operand in finding.operands] == [str(dtype).removeprefix("torch.")]
    else:
        assert report.ok and report.outputs == ("float32",)


def test_numpy_takes_nothing_that_wants_a_gradient() -> None:
    model = ToNumpy(lambda h: h.numpy())
    with pytest.raises(RuntimeError, match="Can't call numpy") as raised:
        model(X)
    assert str(raised.value) in analyzer.trace(model, (X,), plan=TRAIN).coverage.incomplete


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
