"""Files are delivered first, each on its own, over nothing that is read; what becomes of stdout is no verdict."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from analyzer import output_files
from analyzer.cli import main
from analyzer.errors import AnalyzerError
from analyzer.output_files import deliver, deliver_all
from analyzer.render.json import render as to_json
from tests.render.models import report, seed
from tests.worker.models import written

ROOT = Path(__file__).parents[2]
MIXED = "x = self.last(x.double())"
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="it needs bash and /dev/full")


def _shell(line: str, folder: Path, **values: str) -> tuple[int, str]:
    """The exit code of `analyze`, the first of a pipe, and what stderr had."""
    script = line.replace("analyze", f"'{sys.executable}' -m analyzer", 1) + "\nexit ${PIPESTATUS[0]}"
    env = {**os.environ, "PYTHONPATH": str(ROOT), **values}
    done = subprocess.run(["bash", "-c", script], cwd=folder, env=env, capture_output=True, text=True, check=False)
    return done.returncode, done.stderr


def _left(folder: Path) -> list[str]:
    return [one.name for one in folder.rglob("*") if one.name.startswith(".")]


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """A folder with two reports; the second has a finding less."""
    flow, findings = seed()
    (tmp_path / "a.json").write_bytes(to_json(report(flow, findings)))
    (tmp_path / "b.json").write_bytes(to_json(report(flow, findings[1:])))
    return tmp_path


@pytest.mark.parametrize(("end", "code", "words"), [
    ("| true", 0, ""),
    ("| head -c 5 > /dev/null", 0, ""),
    ("> /dev/full", 2, "standard output cannot be written: No space left"),
    (">&-", 2, "standard output is closed"),
    ("<&- 2>&- > /dev/full", 2, ""),
    ("> /dev/full 2> /dev/full", 2, ""),
])  # fmt: skip
def test_a_picture_for_stdout_keeps_no_file_back(end: str, code: int, words: str, saved: Path) -> None:
    got, err = _shell(f"analyze draw a.json --out - --out p.svg --out p.dot {end}", saved)
    assert got == code and words in err and err.count("\n") == bool(words)
    ET.parse(saved / "p.svg")
    assert (saved / "p.dot").read_text().endswith("}\n")


@pytest.mark.parametrize("end", ["| true", "> /dev/full", ">&-", "> /dev/full 2> /dev/full", "2>&- >&-"])
def test_the_verdict_of_a_difference_stays(end: str, saved: Path) -> None:
    got, err = _shell(f"analyze diff a.json b.json --out d.json {end}", saved)
    assert got == 1 and err.count("\n") == (end == "> /dev/full")
    assert json.loads((saved / "d.json").read_text())["empty"] is False


def test_the_verdict_of_no_difference_stays(saved: Path) -> None:
    assert _shell("analyze diff a.json a.json | true", saved) == (0, "")


@pytest.mark.parametrize("line", ["analyze explain | head -1 > /dev/null", "analyze trace --help | true"])
def test_a_page_that_is_not_read_to_its_end(line: str, saved: Path) -> None:
    assert _shell(line, saved) == (0, "")


def test_the_verdict_of_a_check_stays(tmp_path: Path) -> None:
    written(tmp_path, MIXED)
    line = "analyze check model.py --device cpu --also sarif=a.sarif --also junit=a.xml | true"
    assert _shell(line, tmp_path) == (1, "")
    assert json.loads((tmp_path / "a.sarif").read_text())["runs"][0]["results"]
    assert ET.parse(tmp_path / "a.xml").getroot().get("failures") == "1"


def test_the_verdict_of_a_trace_stays_and_one_full_file_is_no_other(tmp_path: Path) -> None:
    file = Path(written(tmp_path))
    file.write_text(file.read_text().replace("Model", "Größe"))  # stdout has no such letters
    (tmp_path / "p.html").write_text("old")
    limit = "ulimit -f 12; "  # KiB: the picture fits, the page does not
    outs = "--out p.html --out p.svg --out p.json"
    script = f"{limit}analyze trace model.py --device cpu {outs} > /dev/full"
    got, err = _shell(script, tmp_path, PYTHONIOENCODING="ascii:strict")
    first, second = err.splitlines()
    assert "cannot write p.html: File too large (the old file is untouched)" in first and "standard output" in second
    assert got == 2 and (tmp_path / "p.html").read_text() == "old" and _left(tmp_path) == []
    ET.parse(tmp_path / "p.svg")
    json.loads((tmp_path / "p.json").read_text())


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A model's folder, files beside it, and links that lead there."""
    folder = tmp_path / "m"
    folder.mkdir()
    for name in ("config.json", "weights.safetensors", "code.py", "merges.txt"):
        (folder / name).write_text("{}")
    (folder / "old.json").write_text('{\n "schema": 1,\n "versions": {}}')
    for name in ("recipe.json", "plan.json", "inputs.py", "base.json"):
        (tmp_path / name).write_text('{"version": 1, "findings": []}' if name == "base.json" else "{}")
    (tmp_path / "pyproject.toml").write_text("")
    (tmp_path / "link.json").symlink_to(folder / "config.json")
    (tmp_path / "hard.json").hardlink_to(folder / "config.json")
    (tmp_path / "here").symlink_to(tmp_path)
    os.mkfifo(tmp_path / "pipe.json")
    (tmp_path / "null.json").symlink_to("/dev/null")
    return tmp_path


@pytest.mark.parametrize(("line", "words"), [
    ("trace m --out m/config.json", "is read by this run"),
    ("trace m --out here/m/config.json", "is read by this run"),
    ("trace m --out link.json", "is read by this run (m/config.json)"),
    ("trace m --out hard.json", "is read by this run (m/config.json)"),
    ("trace m --out m/merges.txt", "is read by this run"),
    ("trace m --recipe recipe.json --out recipe.json", "is read by this run"),
    ("trace m --plan plan.json --out ./here/plan.json", "is read by this run (plan.json)"),
    ("trace m --repro m", "m is read by this run"),
    ("trace m --out pipe.json", "is a device, a pipe or a socket"),
    ("trace m --out null.json", "is a device, a pipe or a socket"),
    ("trace m --out a.svg --out here/a.svg", "a.svg and here/a.svg are one file"),
    ("check m --out /dev/null", "is a device, a pipe or a socket"),
    ("check m --out /dev/stdin", "is a device, a pipe or a socket"),
    ("check m --out m/code.py", "is read by this run"),
    ("check m --out m/weights.safetensors", "is read by this run"),
    ("check m --baseline base.json --also sarif=base.json", "is read by this run"),
    ("check m --baseline base.json --update-baseline --also sarif=here/base.json", "are one file"),
    ("check m --baseline new.json --update-baseline --also sarif=new.json", "are one file"),
    ("check m --inputs inputs.py --also sarif=inputs.py", "is read by this run"),
    ("check m --out pyproject.toml", "is read by this run"),
    ("check m --also sarif=x --also junit=x", "x and x are one file"),
    ("check m --also sarif=-", "can have but one output"),
    ("diff m m --out m/config.json", "is read by this run"),
    ("diff m m --plan-b plan.json --out plan.json", "is read by this run"),
    ("fix m --apply m/config.json", "is read by this run"),
    ("fix m --apply new.json --out new.json", "are one file"),
    ("draw m/old.json --out m/old.json", "is read by this run"),
    ("draw m/old.json --out here/m/old.json", "is read by this run (m/old.json)"),
])  # fmt: skip
def test_what_is_refused_before_any_work(
    line: str, words: str, model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(model)
    monkeypatch.setattr("analyzer.pipeline.worker", lambda *_: pytest.fail("it starts"))
    before = {one: one.stat().st_mtime_ns for one in model.rglob("*") if one.is_file()}
    assert main(line.split()) == 2
    err = capsys.readouterr().err
    assert words in err and err.count("\n") == 1
    assert before == {one: one.stat().st_mtime_ns for one in model.rglob("*") if one.is_file()}


@pytest.mark.parametrize("line", [
    "trace m --out m/old.json --out m/new.json --out m/graph.svg", "check m --baseline base.json --update-baseline",
    "check m --out m/old.json --format json", "trace m --out link.svg",
])  # fmt: skip
def test_what_an_earlier_run_wrote_is_no_input(line: str, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Reached(Exception):
        pass

    def reached(*_: object) -> None:
        raise Reached

    monkeypatch.chdir(model)
    (model / "m" / "graph.svg").write_text("old")
    (model / "link.svg").symlink_to(model / "m" / "graph.svg")
    monkeypatch.setattr("analyzer.pipeline.worker", reached)
    monkeypatch.setattr("analyzer.cli._unexpected", lambda error, _: 77 if isinstance(error, Reached) else 2)
    assert main(line.split()) == 77


def test_stdout_led_into_the_same_file_is_refused(saved: Path) -> None:
    got, err = _shell("analyze draw a.json --out said.svg > said.svg", saved)
    assert got == 2 and "is where standard output goes" in err


def test_temporary_files_go_where_nothing_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    victim, target = tmp_path / "victim", tmp_path / "a.svg"
    victim.write_text("mine")
    for name in (f".a.svg.{os.getpid()}.tmp", ".analyze-known.tmp"):
        (tmp_path / name).symlink_to(victim)
    deliver(str(target), b"<svg/>")
    monkeypatch.setattr("secrets.token_hex", lambda _: "known")
    with pytest.raises(AnalyzerError, match="File exists"):
        deliver(str(target), b"<other/>")
    assert (victim.read_text(), target.read_text()) == ("mine", "<svg/>")
    assert len(list(tmp_path.iterdir())) == 4  # and the links are still there


def test_a_file_keeps_its_rights_and_a_new_one_has_the_usual(tmp_path: Path) -> None:
    old, new, long = tmp_path / "old", tmp_path / "new", tmp_path / ("n" * 255)
    old.write_text("old")
    old.chmod(0o600)
    before = os.umask(0o027)
    try:
        deliver_all({old: b"1", new: b"2", long: b"3"}, "them")
    finally:
        os.umask(before)
    assert [one.stat().st_mode & 0o777 for one in (old, new)] == [0o600, 0o640] and long.read_text() == "3"


def test_a_pipe_that_takes_the_place_of_a_file_is_not_replaced(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(AnalyzerError, match="no regular file"):
        deliver(str(tmp_path / "pipe"), b"x")
    assert (tmp_path / "pipe").is_fifo() and _left(tmp_path) == []


def test_two_runs_to_one_file_leave_one_whole_file(tmp_path: Path) -> None:
    target = tmp_path / "a.svg"
    target.write_bytes(b"a" * 300_000)
    code = "import sys; from analyzer.output_files import deliver\n" \
           "for _ in range(60): deliver(sys.argv[1], sys.argv[2].encode() * 300_000)"  # fmt: skip
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    runs = [subprocess.Popen([sys.executable, "-c", code, str(target), letter], env=env) for letter in "bc"]
    seen = set()
    while any(run.poll() is None for run in runs):
        data = target.read_bytes()
        assert len(data) == 300_000 and len(set(data)) == 1
        seen.add(data[:1])
    assert [run.returncode for run in runs] == [0, 0] and len(seen) > 1 and _left(tmp_path) == []


def test_the_first_of_several_files_is_no_victim_of_the_second(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int, data: bytes, final: Path) -> None:
        os.close(descriptor)
        if final.name == "b":
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(output_files, "_fill", full)
    with pytest.raises(AnalyzerError, match="No space left"):
        deliver_all({tmp_path / "a": b"1", tmp_path / "b": b"2"}, "them")
    assert list(tmp_path.iterdir()) == []
