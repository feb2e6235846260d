"""Images in the dtype that processors give: the line on them says what the real call raises, and where."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from analyzer.cli import main
from analyzer.ir.findings import Assumption
from analyzer.ir.plan import Plan
from analyzer.report import Report
from tests.inputs.remote_folders import folder, real, traced

TAKES = "    def forward(self, pixel_values):\n"
FORGETS = f"{TAKES}        scaled = (pixel_values - 0.5) / 0.5\n        return self.patches(scaled)\n"
CASTS = f"{TAKES}        return self.patches(pixel_values.to(self.dtype))\n"
WIDENS = f"{TAKES}        return self.patches(pixel_values.float().to(self.patches.weight.dtype))\n"
MULTIPLIES = f"{TAKES}        return pixel_values * self.head.weight[0, 0]\n"
SAYS = f"{TAKES}        seen = self.patches(pixel_values)\n        print('after')\n        return seen\n"
LATER = """    def forward(self, input_ids, pixel_values):
        text = self.head(self.embedding(input_ids))
        seen = self.patches(pixel_values).flatten(2).transpose(1, 2)
        return self.head(torch.cat([seen, text], 1))
"""


def lines(report: Report) -> list[Assumption]:
    return [one for one in report.coverage.assumptions if one.kind == "as_processed"]


@pytest.mark.parametrize("body", [FORGETS, LATER], ids=["first", "after the text"])
def test_the_line_has_the_words_and_the_place_of_the_real_call(body: str, tmp_path: Path) -> None:
    path = folder(tmp_path / "vision", body)
    report = traced(path)
    (line,) = lines(report)
    given = {"pixel_values": torch.zeros(1, 3, 16, 16), "input_ids": torch.ones(1, 4, dtype=torch.long)}
    names = [name for name in given if name in body]
    with pytest.raises(RuntimeError) as raised:
        real(path)(**{name: given[name] for name in names})
    places = [entry for entry in raised.traceback if entry.path.name == "modeling_own.py"]
    assert str(raised.value) in line.value
    assert (line.file, line.line) == ("modeling_own.py", places[-1].lineno + 1)
    assert line.what == f"float32 pixel_values, as the processor gives them, raise at {line.where}"
    assert "--input-dtype pixel_values=float32" in line.value
    assert report.findings == () and not report.coverage.incomplete
    advised = traced(path, Plan(device="cpu", input_dtypes={"pixel_values": "float32"}))
    (finding,) = [one for one in advised.findings if one.severity == "error"]  # what the line advises shows it
    assert finding.message == str(raised.value) and lines(advised) == []


@pytest.mark.parametrize("body", [CASTS, WIDENS, MULTIPLIES], ids=["to", "float to", "promotes"])
def test_no_line_where_the_real_call_runs(body: str, tmp_path: Path) -> None:
    path = folder(tmp_path / "vision", body)
    real(path)(pixel_values=torch.zeros(1, 3, 16, 16))
    assert lines(traced(path)) == []


def test_no_line_where_autocast_casts_or_the_model_is_wide(tmp_path: Path) -> None:
    path = folder(tmp_path / "vision", FORGETS)
    assert lines(traced(path, Plan(device="cpu", autocast="cpu:bfloat16"))) == []
    assert lines(traced(path, Plan(device="cpu", dtype="float32"))) == []
    with torch.autocast("cpu", torch.bfloat16):
        real(path)(pixel_values=torch.zeros(1, 3, 16, 16))
    real(path, torch.float32)(pixel_values=torch.zeros(1, 3, 16, 16))


def test_the_run_ends_at_the_first_use(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert lines(traced(folder(tmp_path / "vision", SAYS)))
    assert capsys.readouterr().out.count("after") == 1


def test_the_terminal_shows_it_and_the_exit_code_stays(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = folder(tmp_path / "vision", FORGETS)
    assert main(["trace", str(path), "--trust-remote-code", "--device", "cpu", "--in-process"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "float32 pixel_values, as the processor gives them, raise at modeling_own.py:" in said
    assert "assumed: float32" not in said
