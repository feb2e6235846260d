"""A report that was saved as JSON is read back whole, or refused in one line."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from analyzer.errors import AnalyzerError
from analyzer.ir.plan import Engine, Plan, Training, Wrap
from analyzer.render import FORMATS
from analyzer.report import Report
from analyzer.report_json import read_report
from tests.render.models import many_layers, report, seed

FULL = Plan(
    set={"vpm.*": "float32"}, input_dtypes={"x": "float16"}, train=True, stage="train", read=("args.yaml",),
    notes=("n",),
    training=Training("bf16", True, fsdp=Wrap(2, classes=("Layer",)), deepspeed=Engine(3, "bfloat16")),
)  # fmt: skip


def _save(made: Report, file: Path) -> Any:
    file.write_bytes(FORMATS[".json"](made))
    return json.loads(file.read_bytes())


def _told(data: Any) -> Any:
    """Without what only a capture has: the lines that raise a refused call."""
    scriptless = [{k: v for k, v in one.items() if k not in ("script", "no_script")} for one in data["findings"]]
    return {**data, "findings": scriptless}


def test_a_report_with_stages_is_read_back(tmp_path: Path) -> None:
    flow, found = seed()
    first = replace(report(flow, found), plan=FULL)
    flow, found = many_layers(2, faulty=True)
    second = replace(report(flow, found), plan=Plan(stage="eval"))
    made = replace(first, others=(second,))
    data = _save(made, tmp_path / "a.json")
    again = read_report(tmp_path / "a.json")
    assert [one.plan for one in again.stages] == [FULL, second.plan]
    assert again.graph == first.graph and again.findings == first.findings
    assert _told(_save(again, tmp_path / "b.json")) == _told(data)
    assert FORMATS[".dot"](again) == FORMATS[".dot"](made)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"schema": 2}, "version 2, not 1"),
        ({"graph": None}, "not a whole report"),
        ({"plan": {}}, "not a whole report"),
        ({"findings": [{}]}, "not a whole report"),
        ({"graph": {"nodes": [{"id": "a"}]}}, "not a whole report"),
        ({"coverage": 3}, "not a whole report"),
    ],
)
def test_what_is_no_report_is_refused(change: dict[str, Any], words: str, tmp_path: Path) -> None:
    data = _save(report(*seed()), tmp_path / "a.json")
    (tmp_path / "a.json").write_text(json.dumps({**data, **change}))
    with pytest.raises(AnalyzerError, match=words):
        read_report(tmp_path / "a.json")


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"schema": 1}', "[" * 100_000])
def test_other_json_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(AnalyzerError, match=r"cannot be read|is no report"):
        read_report(tmp_path / "a.json")
