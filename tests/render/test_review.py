"""Formats of a check: each is read back by what its readers go by, with names that try to break out of it."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from analyzer.check import Check
from analyzer.check.judgement import Spot
from analyzer.ir.findings import Coverage
from analyzer.picture import Box, Cluster, Link, View, overview
from analyzer.render.check import FORMATS
from analyzer.render.check.mermaid import CHARACTERS, EDGES, draw
from tests.render.checks import BEFORE, NASTY, SOURCE, check
from tests.render.models import many_layers, seed
from tests.schemas import published, validate


@pytest.fixture
def nasty(tmp_path: Path) -> Check:
    return check(tmp_path / "a folder" / "m")


def test_every_format_gives_the_same_bytes_twice(nasty: Check, tmp_path: Path) -> None:
    again = check(tmp_path / "a folder" / "m")
    assert all(render(nasty) == render(again) for render in FORMATS.values())


def _sarif(made: Check) -> Any:
    log = json.loads(FORMATS["sarif"](made))
    validate(log, "sarif-2.1.0")
    return log["runs"][0]


def test_the_schema_is_the_one_of_oasis() -> None:
    assert published("sarif-2.1.0")["$id"].endswith("oasis-tcs/sarif-spec/master/Schemata/sarif-schema-2.1.0.json")


def test_sarif_is_valid_and_points_at_the_own_lines_with_the_fix(nasty: Check) -> None:
    run = _sarif(nasty)
    rules = run["tool"]["driver"]["rules"]
    new, known, suppressed = run["results"]
    assert [rules[one["ruleIndex"]]["id"] for one in run["results"]] == ["DT101", "DT201", "DT202"]
    assert "promote" in rules[new["ruleIndex"]]["help"]["markdown"]
    where = new["locations"][0]["physicalLocation"]
    assert where["artifactLocation"] == {"uri": "m/resampler.py", "uriBaseId": "SRCROOT"}
    assert where["region"] == {"startLine": 3, "snippet": {"text": SOURCE}}
    assert known["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] == "m/config.json"
    assert [one.get("baselineState") for one in run["results"]] == ["new", "unchanged", None]
    assert suppressed["suppressions"] == [{"kind": "external", "justification": NASTY}]
    assert new["partialFingerprints"] == {"analyzerKey/v1": nasty.judged[0].key}
    assert [one["message"]["text"].split()[0] for one in new["relatedLocations"]] == ["float32"]
    (change,) = new["fixes"][0]["artifactChanges"]
    (swap,) = change["replacements"]
    region, lines = swap["deletedRegion"], BEFORE.splitlines()
    assert (region["startLine"], region["endLine"], region["endColumn"]) == (3, 3, len(lines[2]) + 1)
    assert swap["insertedContent"]["text"] == SOURCE.replace("@ w", "@ w.to(x.dtype)")


def test_sarif_of_a_folder_outside_the_repository_is_absolute(nasty: Check, tmp_path: Path) -> None:
    outside = replace(nasty, judged=tuple(replace(o, spot=replace(o.spot, path="/a b/c.py")) for o in nasty.judged))
    uri = _sarif(outside)["results"][0]["locations"][0]["physicalLocation"]["artifactLocation"]
    assert uri == {"uri": "file:///a%20b/c.py"}


def test_github_commands_are_one_line_each_and_read_back(nasty: Check) -> None:
    lines = FORMATS["github"](nasty).decode().splitlines()
    parsed = [re.fullmatch(r"::(error|warning|notice) ([^:]*)::([^\r\n]*)", line) for line in lines]
    levels = [one[1] for one in parsed if one]
    assert levels == ["error", "notice", *["notice"] * (len(lines) - 2)]
    first = parsed[0]
    assert first is not None
    properties = dict(part.split("=", 1) for part in first[2].split(","))
    assert properties == {"file": "m/resampler.py", "line": "3", "title": "DT101 mixed-product"}
    words = first[3].replace("%0D", "\r").replace("%0A", "\n").replace("%25", "%")
    assert words.startswith(NASTY.replace("\ud800", "\\ud800").replace("\x07", "\\x07"))


def test_gitlab_has_the_fields_that_it_reads(nasty: Check) -> None:
    found = json.loads(FORMATS["gitlab"](nasty))
    assert [one["check_name"] for one in found] == ["DT101", "DT201"]
    for one in found:
        assert set(one) == {"description", "check_name", "fingerprint", "severity", "location"}
        assert one["severity"] in {"info", "minor", "major", "critical", "blocker"}
        assert set(one["location"]) == {"path", "lines"} and one["location"]["lines"]["begin"] >= 1
    assert len({one["fingerprint"] for one in found}) == 2


def test_junit_counts_what_it_holds(nasty: Check) -> None:
    suites = ET.fromstring(FORMATS["junit"](nasty))
    (suite,) = suites
    cases = suite.findall("testcase")
    for node in (suites, suite):
        assert node.get("tests") == str(len(cases))
        assert [node.get(k) for k in ("failures", "errors", "skipped")] == ["1", "0", "2"]
    assert [len(suite.findall(f"testcase/{kind}")) for kind in ("failure", "skipped")] == [1, 2]
    failure = suite.find("testcase/failure")
    assert failure is not None and "<script>" in (failure.text or "") and "\\x07" in (failure.text or "")
    assert {case.get("classname") for case in cases} >= {"analyze.DT101", "analyze.DT301"}


def _stopped(made: Check, why: str, **changes: Any) -> Check:
    early = replace(made.report, coverage=Coverage(27, (), why))
    return replace(made, report=early, stop=Spot("m/resampler.py", 3), **changes)


def test_the_words_of_a_stop_break_out_of_no_format(nasty: Check) -> None:
    made = _stopped(nasty, NASTY)
    (first, *_) = _sarif(made)["invocations"][0]["toolExecutionNotifications"]
    assert first["level"] == "error" and first["message"]["text"].startswith("incomplete: a|b`c```")
    lines = FORMATS["github"](made).decode().splitlines()
    assert all(re.fullmatch(r"::(error|warning|notice) ([^:]*)::([^\r\n]*)", line) for line in lines)
    assert len(lines) == len(FORMATS["github"](nasty).decode().splitlines()) + 1
    assert json.loads(FORMATS["gitlab"](made))[-1]["description"].startswith("incomplete: a|b")
    assert len(ET.fromstring(FORMATS["junit"](made)).findall(".//error")) == 1
    prose, _ = _parts(FORMATS["markdown"](made).decode())
    assert "**incomplete: a&#124;b" in prose and "@all" not in prose and "<script" not in prose
    assert "\x07" not in FORMATS["text"](made).decode()


@pytest.mark.parametrize("kind", FORMATS)
def test_every_format_says_that_a_verdict_is_partial(kind: str, nasty: Check) -> None:
    clean = replace(nasty, judged=(), gone=(), unused=(), counts={})
    text = FORMATS[kind](_stopped(clean, "out of pictures")).decode()
    assert "incomplete" in text and "out of pictures" in text
    assert "incomplete: " not in FORMATS[kind](clean).decode()
    assert not re.search(r"Nothing found\.|: nothing new\W*$", text)


def test_notes_are_one_line_each_or_told_in_full(nasty: Check) -> None:
    note = replace(seed()[1][1], message="cast back " * 30)
    made = replace(nasty, report=replace(nasty.report, findings=(*nasty.report.findings, note)))
    short = FORMATS["text"](made).decode()
    (line,) = [line for line in short.splitlines() if "DT301" in line]
    assert line.startswith("note DT301 m.py:3: cast back") and len(line) == 100
    full = FORMATS["text"](replace(made, notes=True)).decode()
    assert "".join(full.split()).count("castback") == 30  # words are folded anywhere


def _parts(text: str) -> tuple[str, list[str]]:
    """Markdown without its fenced blocks, and these blocks."""
    prose, blocks, fence = [], [], ""
    for line in text.split("\n"):
        if fence:
            fence = "" if line == fence else fence
            blocks[-1] += line + "\n"
        elif opened := re.match(r"(`{3,})\w*$", line):
            fence = opened[1]
            blocks.append(line + "\n")
        else:
            prose.append(line)
    assert not fence
    return "\n".join(prose), blocks


def test_markdown_keeps_its_shape_whatever_names_hold(nasty: Check) -> None:
    text = FORMATS["markdown"](nasty).decode()
    prose, blocks = _parts(text)
    rows = [line for line in prose.split("\n") if line.startswith("|")]
    assert len(rows) == 4 and {row.count("|") for row in rows} == {6}
    assert "@" not in prose and "`" not in prose
    assert set(re.findall(r"</?(\w+)", prose)) == {"details", "summary", "code"}
    assert prose.count("<details>") == prose.count("</details>") == 2
    assert any(block.startswith("````") and "```" in block[4:-5] for block in blocks)
    assert any(block.startswith("```mermaid\nflowchart TD") for block in blocks) and len(text) < 65_536


def test_markdown_of_many_findings_fits_a_comment(nasty: Check) -> None:
    many = replace(nasty, judged=nasty.judged[:1] * 400)
    text = FORMATS["markdown"](many).decode()
    prose, _ = _parts(text)
    assert len(text) < 65_536 and "left out" in prose and re.search(r"\n3[5-9]\d more findings are not listed", prose)


@pytest.mark.parametrize("word", [NASTY * 100, "<" * 9000, "x" * 9000])
def test_markdown_of_long_words_everywhere_fits_a_comment(word: str, tmp_path: Path) -> None:
    one = check(tmp_path / "m", word)
    many = replace(one, judged=one.judged * 300, gone=one.gone * 300, folder=word)
    for made in (one, many):
        text = FORMATS["markdown"](made).decode()
        prose, blocks = _parts(text)
        assert len(text) < 65_536 and text.startswith("### analyze: ") and "| **new error** |" in prose
        assert prose.count("<details>") == prose.count("</details>") and blocks


def test_json_says_what_fails(nasty: Check) -> None:
    data = json.loads(FORMATS["json"](nasty))
    assert data["fails"] and data["counts"] == {"new": 1, "known": 1, "suppressed": 1}
    assert [one["state"] for one in data["findings"]] == ["new", "known", "suppressed"]
    assert data["gone"][0]["key"] == "DT101-lost" and data["unused_suppressions"][0]["fault"] == NASTY


def test_mermaid_shows_the_fault_within_its_limits() -> None:
    flow, found = seed()
    text = draw(overview(flow, found))
    assert "ERROR DT101" in text and '== "f32 #45;#62; bf16" ==>' in text and "classDef error" in text
    flow, found = many_layers(90, faulty=True, alike=False)
    assert len(draw(overview(flow, found))) <= CHARACTERS


@pytest.mark.parametrize("label", [NASTY, "end", "`*a*`", "1. x", '"', "#quot;"])
def test_no_label_ends_mermaid_syntax(label: str) -> None:
    boxes = (Box("a", label, "op", code="DT101", severity="error"), Box("b", label, "op"))
    text = draw(View(Cluster("", "", (), (Cluster("c", label, boxes),)), (Link("a", "b", label, mixed=True),)))
    for line in text.splitlines():
        strings = re.findall(r'"([^"]*)"', line)
        assert line.count('"') == 2 * len(strings)
        assert all(re.fullmatch(r"(?:[A-Za-z0-9 _.,/()+=]|#\d+;|<br/>)*", one) for one in strings)


def test_a_picture_with_too_many_links_is_cut_to_the_fault() -> None:
    boxes = tuple(Box(str(i), "x", "op", severity="error" if i == 0 else "") for i in range(EDGES + 50))
    links = tuple(Link("0", str(i), "f32", mixed=i == 1) for i in range(1, EDGES + 50))
    text = draw(View(Cluster("", "", boxes), links))
    assert text.count("-->") + text.count("==>") == EDGES
