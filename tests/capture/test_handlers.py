"""A refused call that the model's own code catches is no fault: the run takes the way that it really takes."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

import analyzer
from analyzer import Plan


class _Layer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 4)


class Falls(_Layer):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        try:
            return self.layer(x)
        except RuntimeError:
            return self.layer(x.float())


class Suppresses(_Layer):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        with contextlib.suppress(RuntimeError):
            return self.layer(x)
        return x.double()


class Tries(_Layer):
    def forward(self, x: torch.Tensor) -> Any:
        for dtype in (torch.int64, torch.float64, torch.float32):
            try:
                return self.layer(x.to(dtype))
            except (TypeError, RuntimeError):
                pass
        return None


class Translates(_Layer):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        try:
            return self.layer(x)
        except Exception as error:
            raise ValueError("it does not fit") from error


class CatchesAnother(_Layer):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        try:
            return self.layer(x)
        except (KeyError, ValueError):
            return x


INPUTS = [torch.ones(2, 4, dtype=torch.long), torch.ones(2, 4, dtype=torch.bfloat16)]


@pytest.mark.parametrize("x", INPUTS, ids=["i64", "bf16"])
@pytest.mark.parametrize("model", [Falls, Suppresses, Tries])
def test_what_the_model_catches_is_no_finding(model: Callable[[], nn.Module], x: torch.Tensor) -> None:
    module = model()
    with torch.no_grad():
        real = module(x)
    report = analyzer.trace(module, (x,), plan=Plan(device="cpu"))
    assert not report.findings and report.complete
    assert report.outputs == (str(real.dtype).removeprefix("torch."),)
    notes = [a for a in report.coverage.assumptions if a.what == "a refused call that the model's own code catches"]
    assert notes and "same dtype" in notes[0].value
    assert sum(note.count for note in notes) == (2 if model is Tries else 1)


@pytest.mark.parametrize("x", INPUTS, ids=["i64", "bf16"])
@pytest.mark.parametrize("model", [Translates, CatchesAnother])
def test_what_it_raises_again_or_does_not_catch_is_one(model: Callable[[], nn.Module], x: torch.Tensor) -> None:
    with pytest.raises((ValueError, RuntimeError)), torch.no_grad():
        model()(x)
    (finding,) = analyzer.trace(model(), (x,), plan=Plan(device="cpu")).findings
    assert finding.severity == "error" and "same dtype" in finding.message
