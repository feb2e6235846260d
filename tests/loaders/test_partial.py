"""The command on a folder whose run stops early: files are written, and the exit code says what was asked."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from analyzer import cli

RUN = """import torch
def inputs(config):
    return {"input_ids": torch.ones(1, 3, dtype=torch.long)}
def run(model, inputs):
    model(**inputs)
    raise ValueError("out of pictures")
"""


@pytest.mark.parametrize(
    ("more", "code"), [([], 1), (["--fail-on", "never"], 2), (["--fail-on", "never", "--allow-incomplete"], 0)]
)
def test_exit_code_of_a_run_that_stops(
    more: list[str], code: int, own: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    inputs, out = tmp_path / "inputs.py", tmp_path / "out.json"
    inputs.write_text(RUN)
    args = ["trace", str(own), "--trust-remote-code", "--inputs", str(inputs), "--out", str(out)]
    assert cli.main([*args, *more]) == code
    said = capsys.readouterr()
    assert "incomplete: the model stopped with ValueError: out of pictures at" in said.out
    assert said.err.count("\n") == (code == 2)
    report = json.loads(out.read_text())
    assert report["coverage"]["incomplete"].startswith("the model stopped with ValueError: out of pictures at ")
    assert report["graph"]["nodes"][-1]["op"] == "run.stopped"
