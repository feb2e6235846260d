"""The cast of an input is written into the person's own file that makes it: shown, applied, and the model runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

import pytest
import torch

from analyzer.cli import main
from analyzer.ir.plan import Plan
from tests.fixes.folders import BASE, Own, really, weigh
from tests.fixes.test_single_file import really as run_file

_MODEL: Final = Own(
    init="self.fc, self.gate = nn.Linear(8, 8), nn.Linear(8, 8)",
    forward="return self.fc(x) + self.gate(y)",
)
_OPEN: Final = "self.fc(x) + self.gate(y)"
_HIDDEN: Final = "(lambda f, g: f(x) + g(y))(self.fc, self.gate)"
"""Calls that no cast in the model's own code can be written for."""
_INPUTS: Final = """
import torch

def inputs(config):
    wide = torch.ones(2, 3, 8)
    return {{"x": {x}, "y": {y}}}
"""


def _folder(at: Path, x: str = "wide", y: str = "wide") -> tuple[Path, Path]:
    folder = _MODEL.write(at / "m")
    text = (folder / "modeling_own.py").read_text().replace("def forward(self, x)", "def forward(self, x, y)")
    (folder / "modeling_own.py").write_text(text)
    (folder / "analyze_inputs.py").unlink()
    given = at / "given.py"
    given.write_text(_INPUTS.format(x=x, y=y))
    weigh(folder)
    return folder, given


def _fix(folder: Path, given: Path, *flags: str) -> int:
    named = ["--trust-remote-code", "--inputs", str(given), "--device", "cpu", "--dtype", "bfloat16"]
    return main(["fix", str(folder), *named, *flags])


def _really(folder: Path, given: Path) -> tuple[str, ...]:
    (folder / "analyze_inputs.py").write_text(given.read_text())
    try:
        return really(folder, Plan(device="cpu", dtype=BASE.dtype))
    finally:
        (folder / "analyze_inputs.py").unlink()


@pytest.mark.parametrize(
    ("x", "y", "line"),
    [
        ("wide", "wide * 2", 'return {"x": wide.to(torch.bfloat16), "y": (wide * 2).to(torch.bfloat16)}'),
        ("wide.float()", "torch.ones(2, 3, 8, dtype=torch.float32)",
         'return {"x": wide.to(torch.bfloat16), "y": torch.ones(2, 3, 8, dtype=torch.bfloat16)}'),
        ("wide.bfloat16()", "wide", 'return {"x": wide.bfloat16(), "y": wide.to(torch.bfloat16)}'),
    ],
)  # fmt: skip
def test_an_inputs_file_is_patched_in_place(x: str, y: str, line: str, tmp_path: Path) -> None:
    folder, given = _folder(tmp_path, x, y)
    code = (folder / "modeling_own.py").read_text()
    before = given.read_text()
    assert "must have the same dtype" in _really(folder, given)[0]
    out = tmp_path / "table.json"
    assert _fix(folder, given, "--out", str(out)) == 1
    fixes = [one for one in json.loads(out.read_text())["fixes"] if one["what"].endswith("in given.py")]
    assert any(f"+    {line}\n" in one["diff"] and one["errors_left"] == 0 for one in fixes)
    (folder / "modeling_own.py").write_text(code.replace(_OPEN, _HIDDEN))
    assert _fix(folder, given, "--in-place") == 0
    assert line in given.read_text()
    assert given.with_name("given.py.orig").read_text() == before
    assert _really(folder, given) == ("bfloat16",)


def test_a_copy_holds_the_patched_inputs_file(tmp_path: Path) -> None:
    folder, given = _folder(tmp_path)
    code = (folder / "modeling_own.py").read_text()
    (folder / "modeling_own.py").write_text(code.replace(_OPEN, _HIDDEN))
    assert _fix(folder, given, "--apply", str(tmp_path / "copy")) == 0
    assert "wide.to(torch.bfloat16)" in (tmp_path / "copy" / "analyze_inputs.py").read_text()
    assert "to(" not in given.read_text()


def test_a_file_with_build_is_patched_where_it_makes_the_input(tmp_path: Path) -> None:
    (tmp_path / "model.py").write_text(
        """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv1d(2, 2, 1).half()

    def forward(self, x, scale):
        return (lambda conv: conv(x))(self.conv) * scale

def build():
    return Net(), dict(x=torch.ones(1, 2, 4), scale=torch.ones(1).half())
"""
    )
    assert "Input type (float)" in run_file(tmp_path)
    assert main(["fix", str(tmp_path / "model.py"), "--device", "cpu", "--in-place"]) == 0
    assert "x=torch.ones(1, 2, 4).to(torch.float16), scale=torch.ones(1).half()" in (tmp_path / "model.py").read_text()
    assert run_file(tmp_path) == str(torch.float16)
