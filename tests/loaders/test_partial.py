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


@pytest.mark.parametrize(
    ("line", "hint"),
    [
        (
            'if input_ids.shape[1] < 10**7: raise ValueError("too short")',
            "it reads the input input_ids, which was made up: give yours with --inputs FILE",
        ),
        (
            "torch.cat([h, torch.zeros(9)])",
            "if a real call gets further than one with the made-up input_ids, give yours with --inputs FILE",
        ),
        (
            'raise NotImplementedError("later")',
            "it reads no input directly: the model's own error, or a call that analyze does not trace; --debug shows "
            "the traceback",
        ),
    ],
)
def test_inputs_that_were_made_up_are_named_only_where_the_line_reads_them(
    line: str, hint: str, own: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = own / "modeling_own.py"
    head = code.read_text().rpartition("        return ")[0]
    lines = f"        h = self.proj(self.embed(input_ids))\n        {line}\n        return h\n"
    code.write_text(head + lines)
    assert cli.main(["trace", str(own), "--trust-remote-code", "--device", "cpu"]) == 2
    end = f"{hint}) (--allow-incomplete exits with 0)\n"
    assert capsys.readouterr().err.endswith(end)
