"""The files that `docs/extend.md` shows do what it says, put into the house as it says."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

from analyzer import loaders, plans
from analyzer.actions.trace import run_trace
from analyzer.errors import AnalyzerError
from analyzer.ir.flow import Flow
from analyzer.ir.plan import Plan
from analyzer.ir.text import parse_graph
from analyzer.loaders.request import ModelRequest
from analyzer.plans import sources
from tests.render.models import report, seed
from tests.rules.test_rules import _graphs, _marked

ROOT = Path(__file__).parents[1]
BLOCK = re.compile(r"^`analyzer/([\w/]+)/(\w+)\.py`:\n\n```python\n(.*?)^```$", re.M | re.S)
FILES = {name: (room, text) for room, name, text in BLOCK.findall((ROOT / "docs" / "extend.md").read_text("utf-8"))}


def _made(name: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    room, text = FILES[name]
    module = ModuleType(f"analyzer.{room.replace('/', '.')}.{name}")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    exec(compile(text, f"{name}.py", "exec"), module.__dict__)
    return module


def test_the_rule_flags_exactly_the_marked_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    rule = _made("dt299_mean_in_half", monkeypatch)
    marked = []
    for text in _graphs(rule):
        graph = parse_graph(re.sub(r"\s+# DT\d+$", "", text, flags=re.MULTILINE))
        marked.append(_marked(text, "DT299"))
        assert {hit.node for hit in rule.check(Flow.as_captured(graph, Plan()))} == marked[-1]
    assert marked == [{"y"}, set()]


def test_the_format_gives_a_row_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = _made("csv", monkeypatch).render(report(*seed())).decode().splitlines()
    assert lines[0].startswith("stage,severity,code") and len(lines) == 3
    assert lines[1].startswith(",error,DT101,resampler.attn,resampler.py,158,1,")


def test_the_loader_is_taken_for_its_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    _made("mlp_folder", monkeypatch)
    kind = loaders.Kind("a perceptron", "mlp.json", "mlp_folder", keys=("widths",))
    monkeypatch.setattr(loaders, "LOADERS", (kind, *loaders.LOADERS))
    (tmp_path / "mlp.json").write_text(json.dumps({"widths": [8, 16, 4]}))
    found = run_trace(ModelRequest(tmp_path, Plan(device="cpu", to="bfloat16", set={"1": "float32"})))
    assert found.headline() == "2 bf16, 2 f32"
    assert [f.code for f in found.findings] == ["DT101"]
    with pytest.raises(AnalyzerError, match="a perceptron takes no --dtype"):
        run_trace(ModelRequest(tmp_path, Plan(dtype="bfloat16")))


def test_the_source_of_plans_is_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    lightning = _made("lightning", monkeypatch)
    own = ("Lightning", lightning.recognises, lightning.read)
    monkeypatch.setattr(sources, "SOURCES", (own, *sources.SOURCES))
    file = tmp_path / "config.yaml"
    for precision, expected in (("bf16-mixed", ("cuda:bfloat16", None)), ("bf16-true", (None, "bfloat16"))):
        file.write_text(f"seed_everything: 1\ntrainer:\n  precision: {precision}\n")
        (plan,) = plans.make({}, [file])
        assert (plan.autocast or None, plan.to) == expected and plan.read == ("config.yaml",)
    file.write_text("seed_everything: 1\ntrainer: {precision: bf17}\n")
    with pytest.raises(AnalyzerError, match="no precision 'bf17'"):
        plans.make({}, [file])
