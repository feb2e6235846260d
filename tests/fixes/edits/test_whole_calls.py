"""A call whose kernel takes other dtypes is cast there, in either direction, and its result is cast back."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import pytest
import torch

from analyzer.actions.fix import run_fix
from analyzer.ir.fixes.proposals import Trial
from analyzer.ir.plan import Plan
from analyzer.loaders.request import ModelRequest

_FILE: Final = """
import torch
import torch.nn.functional as F
from torch import nn
from tests.corpus.stand_in_kernels import flash

B, H = torch.bfloat16, torch.float16

def checked(q, k):
    if q.dtype not in (B, H):
        raise RuntimeError("only fp16 and bf16 data type")
    return q @ k.mT

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(8, 8){cast}
        self.w = nn.Parameter(torch.randn(8, 8))

    def forward(self, x):
        y = self.fc(x)
        {line}
        return y

def build():
    return Net(), {{"x": torch.randn(4, 8){cast}}}
"""
CALLS: Final = {
    "y = torch.linalg.inv(y.mT @ y)": (
        ".half()", "y = torch.linalg.inv((y.mT @ y).to(torch.float32)).to(torch.float16)"
    ),
    "y = self.fc(torch.cdist(y, y) @ y)": (
        ".to(B)", "y = self.fc(torch.cdist(y.to(torch.float32), y.to(torch.float32)).to(y.dtype) @ y)"
    ),
    "y = F.linear(y, self.w)": (".to(B)", "y = F.linear(y.to(self.w.dtype), self.w).to(y.dtype)"),
    "y = self.fc(flash(y, y, x))": (
        "", "y = self.fc(flash(y.to(torch.bfloat16), y.to(torch.bfloat16), x.to(torch.bfloat16)).to(y.dtype))"
    ),
    "y = self.fc(checked(y, y) @ y)": (
        "", "y = self.fc(checked(y.to(torch.bfloat16), y.to(torch.bfloat16)).to(y.dtype) @ y)"
    ),
}  # fmt: skip
"""The line that is refused, the dtype of the model, and one of the lines that are proposed."""


def _really(text: str) -> torch.Tensor:
    made: dict[str, Any] = {}
    torch.manual_seed(0)
    exec(text, made)
    net, inputs = made["build"]()
    with torch.no_grad():
        result: torch.Tensor = net(**inputs)
    return result


def _tried(model: Path, text: str) -> list[Trial]:
    model.write_text(text)
    return [one for one in run_fix(ModelRequest(model), [Plan(device="cpu")])[1] if one.clears]


@pytest.mark.parametrize("line", CALLS)
def test_the_call_is_cast_and_what_it_gives_is_cast_back(line: str, tmp_path: Path) -> None:
    cast, mended = CALLS[line]
    text = _FILE.format(line=line, cast=cast)
    with pytest.raises(RuntimeError):
        _really(text)
    edits = [edit for one in _tried(tmp_path / "model.py", text) for edit in one.proposal.edits]
    (edit,) = [one for one in edits if f"\n        {mended}\n" in one.after]
    assert _really(edit.after).dtype == _really(_FILE.format(line="pass", cast=cast)).dtype


def test_both_directions_are_tried_and_both_run(tmp_path: Path) -> None:
    text = _FILE.format(line="y = F.linear(y, self.w)", cast=".to(B)")
    edits = [edit for one in _tried(tmp_path / "model.py", text) for edit in one.proposal.edits]
    lines = {line.strip() for edit in edits for line in edit.after.splitlines() if "F.linear(" in line}
    assert {"y = F.linear(y.to(self.w.dtype), self.w)", "y = F.linear(y, self.w.to(y.dtype))"} <= lines
    assert {_really(edit.after).dtype for edit in edits} == {torch.bfloat16, torch.float32}


def test_what_is_unpacked_is_not_cast_back(tmp_path: Path) -> None:
    text = _FILE.format(line="y = torch.linalg.qr(y.mT @ y)[0]", cast=".half()")
    edits = [edit for one in _tried(tmp_path / "model.py", text) for edit in one.proposal.edits]
    assert any("torch.linalg.qr((y.mT @ y).to(torch.float32))[0]" in edit.after for edit in edits)
    assert not any(").to(torch.float16)" in edit.after for edit in edits)
