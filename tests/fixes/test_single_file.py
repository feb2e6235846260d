"""A Python file with `build()` is mended like a folder: the cast is proposed, proved, written, and the model runs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from analyzer.cli import main

HELPER = "import torch\ndef scaled(x):\n    return x * torch.ones(4)\n"
MODEL = """
import torch
from torch import nn
from parts.scale import scaled

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.proj = nn.Linear(4, 4).to(torch.bfloat16)

    def forward(self, x):
        y = scaled(x)
        return self.proj(y)

def build():
    return Net(), {"x": torch.ones(2, 4, dtype=torch.bfloat16)}
"""
RUN = "import model\nnet, inputs = model.build()\nprint(net(**inputs).dtype)\n"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    (folder / "parts").mkdir(parents=True)
    (folder / "parts" / "__init__.py").write_text("")
    (folder / "parts" / "scale.py").write_text(HELPER)
    (folder / "model.py").write_text(MODEL)
    (folder / "notes.txt").write_text("no code")
    return folder / "model.py"


def really(folder: Path) -> str:
    done = subprocess.run([sys.executable, "-c", RUN], cwd=folder, capture_output=True, text=True, check=False)
    return done.stdout.strip() or done.stderr.strip().splitlines()[-1]


def test_a_fix_in_place_mends_the_file_that_is_run(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "must have the same dtype" in really(model.parent)
    assert main(["fix", str(model), "--in-place"]) == 0, capsys.readouterr()
    assert really(model.parent) == "torch.bfloat16"
    assert main(["trace", str(model)]) == 0
    kept = list(model.parent.rglob("*.orig"))
    assert len(kept) == 1 and kept[0].read_text() in (MODEL, HELPER)


def test_a_patched_copy_has_the_file_and_what_it_imports(model: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    assert main(["fix", str(model), "--apply", str(copy)]) == 0
    assert really(copy) == "torch.bfloat16" and "must have the same dtype" in really(model.parent)
    names = {str(file.relative_to(copy)) for file in copy.rglob("*") if file.is_file() and file.suffix != ".pyc"}
    assert names == {"model.py", "parts/__init__.py", "parts/scale.py"}


@pytest.mark.parametrize("edited", ["model.py", "parts/scale.py"])
def test_the_trial_of_either_file_is_a_trial_of_it(edited: str, model: Path, tmp_path: Path) -> None:
    out = tmp_path / "table.json"
    assert main(["fix", str(model), "--out", str(out)]) == 1
    found = [
        one for one in json.loads(out.read_text())["fixes"] if edited in json.dumps(one) and one["kind"] == "source"
    ]
    assert found and all(one["errors_left"] == 0 for one in found)


def test_a_check_carries_the_edit(model: Path, tmp_path: Path) -> None:
    out = tmp_path / "check.sarif"
    assert main(["check", str(model), "--format", "sarif", "--out", str(out)]) == 1
    (result,) = json.loads(out.read_text())["runs"][0]["results"]
    (change,) = result["fixes"][0]["artifactChanges"]
    assert change["artifactLocation"]["uri"].endswith(("model.py", "parts/scale.py"))
    texts = [one["insertedContent"]["text"] for one in change["replacements"]]
    assert any(".to(" in text for text in texts)
