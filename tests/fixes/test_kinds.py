"""Files whose odd operand is of another kind, or stands beside one: the fix is proved, written, and really runs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import pytest

from analyzer.actions.fix import run_fix
from analyzer.cli import main
from analyzer.ir.plan import Plan
from analyzer.loaders.request import ModelRequest

_HEAD: Final = """
import torch
import torch.nn.functional as F
from torch import nn

B = torch.bfloat16
"""
ROPE: Final = """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.q, self.o = nn.Linear(8, 8).to(B), nn.Linear(8, 8).to(B)
        angles = torch.outer(torch.arange(4).float(), torch.ones(4))
        self.register_buffer("table", torch.polar(torch.ones_like(angles), angles), persistent=False)

    def forward(self, x):
        q = self.q(x)
        turned = torch.view_as_complex(q.float().reshape(*q.shape[:-1], -1, 2)) * self.table
        q = torch.view_as_real(turned).flatten(2)
        return self.o(q)

def build():
    return Net(), {"x": torch.ones(1, 4, 8, dtype=B)}
"""
EXPERTS: Final = """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm = nn.LayerNorm(16)
        self.experts = nn.Parameter(torch.ones(2, 16, 32, dtype=B))

    def forward(self, x):
        offs = torch.tensor([4, 8], dtype=torch.int32)
        h = self.norm(x.float())
        return F.grouped_mm(h, self.experts, offs=offs)

def build():
    return Net(), {"x": torch.ones(8, 16, dtype=B)}
"""
EMBEDS: Final = """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.text, self.pooled = nn.Linear(8, 8).to(B), nn.Linear(8, 8).to(B)

    def forward(self, x, text, pooled, step):
        step = step.to(pooled.dtype).reshape(1, 1).expand(1, 8)
        return x + self.text(text) + self.pooled(step)

def build():
    wide = torch.ones(1, 8)
    return Net(), {"x": wide.to(B), "text": wide, "pooled": wide, "step": torch.ones(1)}
"""
_RUN: Final = "import model\nnet, inputs = model.build()\nprint(net(**inputs).dtype)\n"


def _write(folder: Path, code: str) -> Path:
    (folder / "model.py").write_text(_HEAD + code)
    return folder / "model.py"


def _really(folder: Path, run: str = _RUN) -> str:
    done = subprocess.run([sys.executable, "-c", run], cwd=folder, capture_output=True, text=True, check=False)
    return done.stdout.strip() or done.stderr.strip().splitlines()[-1]


def _tables(model: Path) -> tuple[list[Any], list[Any]]:
    """The errors of a file as it is, and the trials of what could clear them, as JSON."""
    report, table = model.with_name("report.json"), model.with_name("table.json")
    assert main(["trace", str(model), "--device", "cpu", "--out", str(report)]) == 1
    main(["fix", str(model), "--device", "cpu", "--out", str(table)])
    return json.loads(report.read_text())["findings"], json.loads(table.read_text())["fixes"]


def _line(model: Path, text: str) -> int:
    return next(n for n, line in enumerate(model.read_text().splitlines(), 1) if text in line)


@pytest.mark.parametrize(
    ("code", "words", "origins", "cast"),
    [
        (ROPE, "Float and BFloat16", {"float", "table"}, "self.o(q.to(self.o.weight.dtype))"),
        (
            EXPERTS,
            "float != c10::BFloat16",
            {"norm.weight", "norm.bias", "float"},
            "F.grouped_mm(h.to(self.experts.dtype)",
        ),
    ],
)
def test_the_cast_at_the_call_is_written_and_the_file_runs(
    code: str, words: str, origins: set[str], cast: str, tmp_path: Path
) -> None:
    model = _write(tmp_path, code)
    assert words in _really(tmp_path)
    findings, fixes = _tables(model)
    (error,) = [one for one in findings if one["severity"] == "error"]
    assert words in error["message"]
    wide = [one for one in error["operands"] if one["dtype"] == "float32"]
    assert {origin["name"] for one in wide for origin in one["origins"]} <= origins
    assert not [one for one in error["operands"] if one["dtype"].startswith("int")]
    assert not [one for one in fixes if "table" in one["what"]]
    assert main(["fix", str(model), "--device", "cpu", "--in-place"]) == 0
    assert cast in model.read_text()
    assert _really(tmp_path) == "torch.bfloat16"


def test_inputs_that_are_both_odd_are_given_together(tmp_path: Path) -> None:
    model = _write(tmp_path, EMBEDS)
    assert "Float and BFloat16" in _really(tmp_path)
    _, fixes = _tables(model)
    clears = [one for one in fixes if one["kind"] == "input" and one["errors_left"] == 0]
    assert [one["change"] for one in clears] == [{"input_dtypes": {"text": "bfloat16", "pooled": "bfloat16"}}]
    assert clears[0]["places"] == 2
    together = "inputs['text'], inputs['pooled'] = inputs['text'].bfloat16(), inputs['pooled'].bfloat16()\nprint"
    assert _really(tmp_path, _RUN.replace("print", together)) == "torch.bfloat16"


_OTHER: Final = """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc, self.crit = nn.Linear(4, 4), nn.CrossEntropyLoss()

    def forward(self, x, other):
        {body}

def build():
    return Net(), {{"x": torch.ones(2, 4), "other": {other}}}
"""
KINDS: Final = {
    "integers into a linear": ("return self.fc(other)", "torch.ones(2, 4).long()", "self.fc(other.to("),
    "an index of floats": ("return self.fc(x)[other]", "torch.tensor([0.0, 1.0])", "self.fc(x)[other.long()]"),
    "gathered by floats": ("y = self.fc(x)\n        return y.gather(1, other)", "torch.ones(2, 4)", "other.long()"),
    "an int32 target": ("return F.cross_entropy(self.fc(x), other)", "torch.ones(2).int()", "other.long())"),
    "a target of integers": (
        "return F.binary_cross_entropy_with_logits(x, other)", "torch.ones(2, 4).long()", "other.to(x.dtype)"
    ),
    "a mask of integers": ("return torch.where(other, x, self.fc(x))", "torch.ones(2, 4).long()", "(other.bool(),"),
    "a loss whose owner is called otherwise": (
        "s = self\n        return s.crit(s.fc(x), other)", "torch.ones(2).int()", "return s.crit(s.fc(x), other.long())"
    ),
    "one minus a mask": ("return self.fc(x) * (1 - other)", "torch.ones(2, 4).bool()", "1 - other.long()"),
}  # fmt: skip
"""Name -> the body of forward, the input `other`, and what the mended line holds."""


@pytest.mark.parametrize("name", KINDS)
def test_an_operand_of_another_kind_is_cast_at_the_call(name: str, tmp_path: Path) -> None:
    body, other, cast = KINDS[name]
    model = _write(tmp_path, _OTHER.format(body=body, other=other))
    before = _really(tmp_path)
    assert "Error: " in before
    assert main(["fix", str(model), "--device", "cpu", "--in-place"]) == 0
    assert cast in model.read_text()
    assert _really(tmp_path) == "torch.float32"


def test_no_cast_of_floats_to_integers_is_called_a_fix(tmp_path: Path) -> None:
    """Written in place, floats would be cut off to integers: the call would run, and the values would be lost."""
    model = _write(
        tmp_path, _OTHER.format(body="other += self.fc(x)\n        return other", other="torch.ones(2, 4).long()")
    )
    assert "can't be cast" in _really(tmp_path)
    findings, fixes = _tables(model)
    assert [one["fixes"] for one in findings if one["severity"] == "error"] == [[]]
    assert [one["kind"] for one in fixes] == ["none"]


OWNERS: Final = """
class Net(nn.Module):
    def __init__(s):
        super().__init__()
        s.l, s.crit = nn.Linear(4, 4), nn.CrossEntropyLoss()

    def forward(s, x, labels):
        return s.crit({logits}, labels)

def build():
    return Net(), {{"x": torch.ones(2, 4), "labels": torch.zeros(2).int()}}
"""


@pytest.mark.parametrize("logits", ["s.l(x)", "x"])
def test_only_the_tensor_is_cast_not_the_object_whose_method_it_goes_to(logits: str, tmp_path: Path) -> None:
    model = _write(tmp_path, OWNERS.format(logits=logits))
    assert "Error: " in _really(tmp_path)
    plan = Plan(device="cpu")
    tried = run_fix(ModelRequest(model), [plan])[1]
    edits = [edit for trial in tried if trial.proposal.kind == "source" for edit in trial.proposal.edits]
    changed = {line for edit in edits for line in edit.after.split("\n") if line not in edit.before}
    assert changed == {f"        return s.crit({logits}, labels.long())"}
    assert main(["fix", str(model), "--device", "cpu", "--in-place"]) == 0
    assert _really(tmp_path) == "torch.float32"
