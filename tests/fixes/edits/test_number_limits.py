"""A number that a dtype does not hold becomes the limit of that dtype, however it is written; the model then runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import pytest
import torch

from analyzer.actions.fix import run_fix
from analyzer.ir.plan import Plan
from analyzer.loaders.request import ModelRequest

_FILE: Final = """
import math
import torch
from torch import nn

LOW = -1e9
H = torch.float16

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.qk, self.lowest = nn.Linear(8, 16).half(), -1e9

    def forward(self, x, mask):
        q, k = self.qk(x).chunk(2, -1)
        scores = q @ k.mT
        {line}
        return scores.softmax(-1)

def build():
    return Net(), {{"x": torch.randn(1, 4, 8).half(), "mask": torch.ones(4, 4).triu(1).bool()}}
"""
_OWN: Final = "torch.finfo(scores.dtype).min"
FORMS: Final = {
    "scores = scores.masked_fill(mask, -1e9)": f"scores = scores.masked_fill(mask, {_OWN})",
    "scores = scores.masked_fill(mask, -10.0 ** 9)": f"scores = scores.masked_fill(mask, {_OWN})",
    "scores = scores.masked_fill(mask=mask, value=LOW)": f"scores = scores.masked_fill(mask=mask, value={_OWN})",
    "scores = scores.masked_fill(mask, self.lowest)": f"scores = scores.masked_fill(mask, {_OWN})",
    "scores = scores.masked_fill(mask, torch.finfo(torch.float32).min)": f"scores = scores.masked_fill(mask, {_OWN})",
    "scores.masked_fill_(mask, -1e30)": f"scores.masked_fill_(mask, {_OWN})",
    "scores = (scores * 1.0).masked_fill(mask, -1e9)":
        "scores = (scores * 1.0).masked_fill(mask, torch.finfo(torch.float16).min)",
    "big = -3e38; scores = scores.masked_fill(mask, big)": f"big = -3e38; scores = scores.masked_fill(mask, {_OWN})",
    "scores = scores + torch.zeros(4, 4, dtype=H).masked_fill(mask, -1e9)":
        "scores = scores + torch.zeros(4, 4, dtype=H).masked_fill(mask, torch.finfo(torch.float16).min)",
    "scores = scores.masked_fill(mask, 1e9).neg()":
        "scores = scores.masked_fill(mask, torch.finfo(scores.dtype).max).neg()",
}  # fmt: skip
"""The line that is refused, and what it becomes."""


def _really(text: str) -> torch.Tensor:
    made: dict[str, Any] = {}
    torch.manual_seed(0)
    exec(text, made)
    net, inputs = made["build"]()
    with torch.no_grad():
        result: torch.Tensor = net(**inputs)
    return result


@pytest.mark.parametrize("line", FORMS)
def test_the_limit_is_written_for_the_number(line: str, tmp_path: Path) -> None:
    model = tmp_path / "model.py"
    model.write_text(_FILE.format(line=line))
    with pytest.raises(RuntimeError, match="without overflow"):
        _really(model.read_text())
    trials = [one for one in run_fix(ModelRequest(model), [Plan(device="cpu")])[1] if one.proposal.numbers]
    assert [one.clears for one in trials] == [True]
    (edit,) = trials[0].proposal.edits
    assert f"\n        {FORMS[line]}\n" in edit.after
    limit = "6.55e+04" if "max" in FORMS[line] else "-6.55e+04"
    assert trials[0].values.startswith("values: ") and trials[0].values.endswith(f"becomes {limit}")
    ran = _really(edit.after)
    masked = torch.ones(4, 4).triu(1).bool()
    assert ran.isfinite().all() and ran.dtype == torch.float16
    assert (ran[0][masked] == 0).all() and torch.allclose(ran.sum(-1).float(), torch.ones(4), atol=1e-2)


def test_a_number_whose_place_is_not_plain_is_left(tmp_path: Path) -> None:
    model = tmp_path / "model.py"
    model.write_text(_FILE.format(line="scores = scores.masked_fill(mask, *[-1e9])"))
    assert not any(one.proposal.numbers for one in run_fix(ModelRequest(model), [Plan(device="cpu")])[1])
