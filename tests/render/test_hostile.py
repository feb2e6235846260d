"""A report whose every text tries to break out, through every format: no markup, no escape, no command of a log."""

from __future__ import annotations

import io
import json
import re
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, Final

import pytest
import torch
from rich.console import Console
from torch import nn

import analyzer
from analyzer.check import Baseline, judge
from analyzer.diff.comparison import compare
from analyzer.errors import AnalyzerError
from analyzer.ir.plan import Plan
from analyzer.render import FORMATS, notebook, terminal
from analyzer.render import check as checks
from analyzer.render import diff as diffs
from analyzer.render.json import render as to_json
from analyzer.report import Report
from analyzer.report.reader import parse_report
from tests.render.models import report, seed

EVIL: Final = '"><script>alert(1)</script>\x1b]0;x\x07\n::error::\u202e\x9b2J\ud800##vso[x]##[error]|{\\N}<b>]]> '
NAMED: Final = ("scripts", "callers", "dtypes", "refusals", "said_by", "said_by_kind", "modules", "versions", "kwargs")
"""Fields that hold an object whose keys are data."""
OBEYED: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
OURS: Final = re.compile(r"::(error|warning|notice) [^:]*::")
DRAWN: Final = (".png", ".pdf")
"""Formats that are no text."""


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(4, 4)
        self.scale = nn.Parameter(torch.ones(4, dtype=torch.float64))

    def forward(self, x: torch.Tensor, **_: Any) -> torch.Tensor:
        y = torch.softmax(self.inner(x), dim=-1, dtype=torch.float32) * self.scale
        return torch.matmul(y, torch.ones(4, 4))


def _texts(data: Any, named: bool = False) -> Iterator[str]:
    if isinstance(data, str):
        yield data
    elif isinstance(data, list):
        for one in data:
            yield from _texts(one)
    elif isinstance(data, dict):
        yield from data if named else ()
        for key, one in data.items():
            yield from _texts(one, key in NAMED)


def _said(data: Any, words: dict[str, str], named: bool = False) -> Any:
    if isinstance(data, str):
        return words.get(data, data)
    if isinstance(data, list):
        return [_said(one, words) for one in data]
    if isinstance(data, dict):
        return {words.get(k, k) if named else k: _said(one, words, k in NAMED) for k, one in data.items()}
    return data


def hostile(made: Report) -> tuple[Report, int]:
    """The report with every text replaced that the reader does not refuse to read so, and how many these are."""
    data = json.loads(to_json(made).decode("utf-8", "surrogatepass"))
    words: dict[str, str] = {}
    for number, text in enumerate(dict.fromkeys(_texts(data))):
        tried = {**words, text: f"{EVIL}{number}"}
        try:
            parse_report(json.dumps(_said(data, tried)).encode(), "it")
        except AnalyzerError:
            continue
        words = tried
    return parse_report(json.dumps(_said(data, words)).encode(), "it"), len(words)


@pytest.fixture(scope="module", params=["seed", "stages", "traced"])
def evil(request: pytest.FixtureRequest) -> Report:
    if request.param == "seed":
        made = report(*seed())
    elif request.param == "stages":
        train, evaluate = report(*seed()), report(seed()[0], seed()[1][1:])
        notes = ("a note", "another")
        other = replace(evaluate, plan=Plan(stage="eval", notes=notes))
        made = replace(train, plan=Plan(stage="train", read=("recipe.yaml",), notes=notes), others=(other,))
    else:
        made = analyzer.trace(Block(), kwargs={"x": torch.ones(2, 4, dtype=torch.float64)}, plan=Plan(device="cpu"))
    found, count = hostile(made)
    assert count > 40 and EVIL in found.findings[0].message and EVIL in found.findings[0].code
    return found


def _harmless(text: str) -> None:
    assert not (found := OBEYED.search(text)), text[max(0, found.start() - 60) : found.end() + 20]
    lines = [line for line in text.splitlines() if line.strip().startswith("::") and not OURS.match(line)]
    assert not lines and not re.search(r"##\w*\[", text)


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.scripts, self.handlers = 0, 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.scripts += tag == "script"
        self.handlers += sum(key.startswith("on") or (value or "").startswith("javascript:") for key, value in attrs)


def _scripts(text: str) -> int:
    tags = _Tags()
    tags.feed(text)
    assert not tags.handlers
    return tags.scripts


def _judged(evil: Report, folder: Path) -> Any:
    return judge(evil, folder, folder, baseline=Baseline(), suppressions=[])


@pytest.mark.parametrize("suffix", [one for one in FORMATS if one not in (*DRAWN, ".json")])
def test_a_format_of_a_report(evil: Report, suffix: str) -> None:
    text = FORMATS[suffix](evil).decode()
    _harmless(text)
    assert _scripts(text) == (suffix == ".html") if suffix in (".html", ".svg") else True
    if suffix == ".svg":
        ET.fromstring(text)


def test_json_reads_back(evil: Report) -> None:
    data = FORMATS[".json"](evil)
    _harmless(data.decode())
    assert parse_report(data, "it").findings == evil.findings


@pytest.mark.parametrize("kind", list(checks.FORMATS))
def test_a_format_of_a_check(evil: Report, kind: str, tmp_path: Path) -> None:
    text = checks.FORMATS[kind](_judged(evil, tmp_path)).decode()
    _harmless(text)
    if kind == "junit":
        assert not [one for one in ET.fromstring(text).iter() if one.tag == "script"]
    if kind in ("markdown",):
        outside = "".join(re.split(r"^(`{3,}).*?^\1$", text, flags=re.MULTILINE | re.DOTALL)[::2])
        assert not _scripts(outside)


@pytest.mark.parametrize("suffix", [one for one in diffs.FORMATS if one not in DRAWN])
def test_a_format_of_a_difference(evil: Report, suffix: str) -> None:
    plain = replace(evil, findings=(), class_name="m", outputs=("float16",))
    text = diffs.FORMATS[suffix](compare(plain, evil, (EVIL, EVIL))).decode()
    _harmless(text)


@pytest.mark.parametrize("width", [40, 80, 200])
def test_a_terminal(evil: Report, width: int) -> None:
    screen = io.StringIO()
    terminal.show(evil, Console(file=screen, width=width, color_system=None))
    _harmless(screen.getvalue())


@pytest.mark.parametrize("show", [notebook.html, notebook.svg])
def test_a_notebook(evil: Report, show: Callable[[Report], str]) -> None:
    text = show(evil)
    _harmless(text)
    assert not _scripts(text)
