"""A real model that stops halfway is not green: each command says so, writes its files, and exits with 2 or 1."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from analyzer.cli import main
from tests.schemas import validate
from tests.worker.models import LINE, written

STOPS = 'raise ValueError("out of pictures")'
MIXED = "x = self.last(x.double())\n"
WORDS = "the model stopped with ValueError: out of pictures at model.py"


@pytest.fixture
def stops(tmp_path: Path) -> str:
    """Nothing is found before it stops."""
    return written(tmp_path, STOPS)


@pytest.fixture
def mixed(tmp_path: Path) -> str:
    """An error is found before it stops."""
    return written(tmp_path, MIXED + STOPS)


def _said(capsys: pytest.CaptureFixture[str]) -> tuple[str, str]:
    said = capsys.readouterr()
    return " ".join(said.out.split()), said.err


def test_trace_of_a_model_that_stops_writes_its_files_and_exits_with_2(
    stops: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = [tmp_path / f"a{suffix}" for suffix in (".json", ".svg", ".html", ".txt")]
    outs = [part for file in files for part in ("--out", str(file))]
    assert main(["trace", stops, "--device", "cpu", *outs]) == 2
    out, err = _said(capsys)
    assert out.endswith("partial verdict: nothing found so far, in 2 ops") and "0 errors" not in out
    assert err.startswith(f"analyze: incomplete: {WORDS}:{LINE}; not reached: the rest of the model, last (")
    assert err.endswith("(--allow-incomplete exits with 0)\n") and err.count("\n") == 1
    assert main(["trace", stops, "--device", "cpu", "--allow-incomplete"]) == 0
    assert _said(capsys)[1] == ""
    title = "partial verdict, the run stopped early: nothing found so far"
    assert all(title in file.read_text() for file in files[1:3])
    assert files[3].read_text().startswith(f"# incomplete: {WORDS}")


def test_trace_of_a_model_that_stops_after_an_error_exits_with_1(
    mixed: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for more in ([], ["--allow-incomplete"]):
        assert main(["trace", mixed, "--device", "cpu", *more]) == 1
        out, err = _said(capsys)
        assert "partial verdict: 1 error so far, in " in out and err == ""


def test_a_stop_in_any_stage_of_a_recipe_counts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model, recipe = written(tmp_path, f"if not self.training:\n    {STOPS}"), tmp_path / "args.json"
    recipe.write_text(json.dumps({"output_dir": "x", "do_eval": True, "eval_strategy": "steps"}))
    asked = ["trace", model, "--recipe", str(recipe), "--device", "cpu"]
    assert main([*asked, "--out", str(tmp_path / "a.svg")]) == 2
    out, err = _said(capsys)
    assert "train: 0 errors, 0 warnings, " in out and "eval: partial verdict: nothing found so far" in out
    assert err.startswith(f"analyze: incomplete: in eval, {WORDS}")
    assert "eval: partial verdict" in (tmp_path / "a.svg").read_text()  # not the clean stage's picture
    assert main([*asked, "--stage", "train"]) == 0
    assert main([*asked, "--allow-incomplete"]) == 0


def test_check_of_a_model_that_stops_fails_in_every_format(
    stops: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kinds = ("sarif", "junit", "gitlab", "markdown", "json", "github")
    also = [part for kind in kinds for part in ("--also", f"{kind}={tmp_path / kind}")]
    assert main(["check", stops, "--device", "cpu", *also]) == 2
    out, err = _said(capsys)
    assert f"incomplete: {WORDS}" in out and out.endswith("partial verdict: nothing new so far")
    assert err.startswith("analyze: incomplete: ") and err.count("\n") == 1
    texts = {kind: (tmp_path / kind).read_text() for kind in kinds}
    log = json.loads(texts["sarif"])
    validate(log, "sarif-2.1.0")
    (invocation,) = log["runs"][0]["invocations"]
    (said,) = invocation["toolExecutionNotifications"]
    where = said["locations"][0]["physicalLocation"]
    assert invocation["executionSuccessful"] is False and said["level"] == "error" and WORDS in said["message"]["text"]
    assert where["artifactLocation"]["uri"].endswith("model.py") and where["region"] == {"startLine": LINE}
    suites = ET.fromstring(texts["junit"])
    assert suites.get("errors") == "1" and len(suites.findall(".//error")) == 1
    assert not [case for case in suites.findall(".//testcase") if len(case) == 0]  # none passes
    assert int(str(suites.get("skipped"))) == len(suites.findall(".//skipped"))
    assert int(str(suites.get("tests"))) == len(suites.findall(".//testcase"))
    (one,) = json.loads(texts["gitlab"])
    assert (one["check_name"], one["severity"], one["location"]["lines"]["begin"]) == ("incomplete", "critical", LINE)
    assert "Nothing found before the run stopped." in texts["markdown"]
    assert texts["markdown"].startswith("### analyze: partial verdict: nothing new so far in ")
    judged = json.loads(texts["json"])
    assert judged["complete"] is False and judged["incomplete"].startswith(WORDS)
    first, last = texts["github"].splitlines()
    assert first.startswith("::error file=") and f",line={LINE},title=analyze::incomplete" in first
    assert last.endswith("partial verdict: nothing new so far")


def test_check_with_allow_incomplete_passes_and_says_what_is_partial(stops: str, tmp_path: Path) -> None:
    also = [part for kind in ("junit", "github") for part in ("--also", f"{kind}={tmp_path / kind}")]
    assert main(["check", stops, "--device", "cpu", "--allow-incomplete", *also]) == 0
    suites = ET.fromstring((tmp_path / "junit").read_text())
    assert suites.get("errors") == "0" and int(str(suites.get("skipped"))) == len(suites.findall(".//skipped")) > 1
    assert (tmp_path / "github").read_text().startswith("::warning file=")


def test_a_baseline_and_suppressions_are_not_judged_by_a_part(
    mixed: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    known = ["--device", "cpu", "--baseline", str(tmp_path / "b.json")]
    assert main(["check", mixed, *known, "--update-baseline"]) == 2
    assert len(json.loads((tmp_path / "b.json").read_text())["findings"]) == 1
    assert main(["check", mixed, *known]) == 2  # what is known does not fail, that it stopped does
    (tmp_path / "pyproject.toml").write_text(
        '[tool.analyzer]\nsuppress = [{ code = "DT202", module = "last", reason = "not reached" }]\n'
    )
    written(tmp_path, STOPS)
    capsys.readouterr()
    assert main(["check", mixed, *known, "--fail-on-unused"]) == 2
    out, _ = _said(capsys)
    assert "not found so far: DT" in out and "suppresses nothing so far" in out and "no longer" not in out


def test_fix_of_a_model_that_stops_says_that_its_verdicts_are_partial(
    mixed: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = tmp_path / "table.json"
    assert main(["fix", mixed, "--device", "cpu", "--out", str(table)]) == 1
    out, _ = _said(capsys)
    assert out.startswith("partial verdict: the run stops early: ValueError: out of pictures at model.py")
    assert "1 error so far; what could help, best first:" in out
    assert json.loads(table.read_text())["incomplete"].startswith("the run stops early")
    assert main(["fix", mixed, "--device", "cpu", "--apply", str(tmp_path / "patched")]) == 2
    assert (tmp_path / "patched" / "model.py").exists()
    written(tmp_path, STOPS)
    capsys.readouterr()
    assert main(["fix", mixed, "--device", "cpu"]) == 2
    out, err = _said(capsys)
    assert out.endswith("nothing to fix so far: no error found") and "--allow-incomplete" in err
    assert main(["fix", mixed, "--device", "cpu", "--allow-incomplete"]) == 0


def test_diff_of_runs_that_stop_finds_no_difference_so_far(
    stops: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    saved = [str(tmp_path / name) for name in ("a.json", "b.json")]
    for file in saved:
        main(["trace", stops, "--device", "cpu", "--out", file])
    capsys.readouterr()
    files = [str(tmp_path / name) for name in ("d.md", "d.json", "d.dot")]
    assert main(["diff", *saved, *(part for file in files for part in ("--out", file))]) == 2
    out, err = _said(capsys)
    assert f"~ stopped early: {WORDS}" in out and out.endswith("partial verdict: no difference so far")
    assert err.startswith("analyze: incomplete: ")
    assert "Partial verdict: no difference so far." in Path(files[0]).read_text()
    said = json.loads(Path(files[1]).read_text())
    assert (said["empty"], said["complete"]) == (True, False)
    title = re.sub(r"<[^>]*>|\s", "", Path(files[2]).read_text())  # a long path breaks its lines elsewhere
    assert "nodifferencesofar" in title
    assert main(["diff", *saved, "--allow-incomplete"]) == 0
    written(tmp_path)
    main(["trace", stops, "--device", "cpu", "--out", saved[1]])
    assert main(["diff", *saved]) == 1  # one side stopped, the other did not: that is a difference


def test_debug_shows_the_traceback_of_a_stop(stops: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["trace", stops, "--device", "cpu", "--debug"]) == 2
    err = capfd.readouterr().err
    assert "Traceback (most recent call last)" in err and 'ValueError("out of pictures")' in err
    assert main(["trace", stops, "--device", "cpu"]) == 2
    assert "Traceback" not in capfd.readouterr().err
