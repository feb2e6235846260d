"""`analyze draw`: files of a saved report as a trace writes them, in a process that never sees torch."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from analyzer import cli
from analyzer.picture import Look
from analyzer.render import FORMATS, svg
from analyzer.report import Report
from tests.render.models import report, seed

HEAVY = "{'torch', 'transformers', 'networkx', 'rich', 'numpy'} & set(sys.modules)"


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """The seed in small, as JSON."""
    file = tmp_path / "report.json"
    file.write_bytes(FORMATS[".json"](_live()))
    return file


def _live() -> Report:
    return report(*seed())


def test_every_format_is_written_without_anything_heavy(saved: Path) -> None:
    outs = [saved.with_name(f"graph{suffix}") for suffix in FORMATS]
    args = ["draw", str(saved), *(word for out in outs for word in ("--out", str(out)))]
    code = f"import sys\nfrom analyzer.cli import main\nassert main({args!r}) == 0\nsys.exit(bool({HEAVY}))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    for out in outs:
        assert out.read_bytes() == FORMATS[out.suffix](_live()), out.suffix


@pytest.mark.parametrize("room", ["report", "rules", "check", "diff.comparison", "picture", "render", "report.reader"])
def test_what_reads_a_report_is_imported_without_anything_heavy(room: str) -> None:
    code = f"import sys, analyzer.{room}\nsys.exit(bool({HEAVY}))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    ("args", "look"),
    [
        ([], Look()),
        (["--focus", "resampler"], Look("resampler")),
        (["--finding", "1", "--link-base", "https://host/m"], Look(finding=1, link_base="https://host/m")),
    ],
)
def test_a_look_is_drawn_on_stdout(
    args: list[str], look: Look, saved: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    assert cli.main(["draw", str(saved), "--out", "-", *args]) == 0
    out, err = capfdbinary.readouterr()
    assert out == FORMATS[".svg"](_live().seen(look)) and not err


def test_a_report_that_was_traced_with_a_look_is_drawn_with_it(saved: Path) -> None:
    focused = _live().seen(Look("resampler"))
    saved.write_bytes(FORMATS[".json"](focused))
    out = saved.with_name("g.dot")
    assert cli.main(["draw", str(saved), "--out", str(out)]) == 0
    assert out.read_bytes() == FORMATS[".dot"](focused)
    assert cli.main(["draw", str(saved), "--out", str(out), "--finding", "1"]) == 0
    assert out.read_bytes() == FORMATS[".dot"](_live().seen(Look(finding=1)))


def test_scripts_are_written_and_an_error_without_one_is_named(saved: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = saved.with_name("scripts")
    assert cli.main(["draw", str(saved), "--repro", str(folder)]) == 0
    assert folder.is_dir() and "no script for DT101 at resampler.py:158" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["{saved}"], "nothing is to be drawn"),
        (["{saved}", "--out", "{tmp}/a.bmp"], "unknown output format"),
        (["{saved}", "--out", "{tmp}/no/a.svg"], "no such output folder"),
        (["{saved}", "--out", "{tmp}/a.svg", "--finding", "9"], "there is no finding 9"),
        (["{saved}", "--out", "{tmp}/a.svg", "--focus", "resamplr"], "did you mean resampler"),
        (["{saved}", "--out", "{tmp}/a.svg", "--link-base", "file:/x"], "no link can begin with"),
        (["{tmp}/none.json", "--out", "{tmp}/a.svg"], "none.json cannot be read"),
        (["{tmp}", "--out", "{tmp}/a.svg"], "is no regular file"),
        (["{broken}", "--out", "{tmp}/a.svg"], "is not a whole report"),
        ([], "Missing argument"),
    ],
)
def test_what_cannot_be_drawn_is_refused_in_one_line(
    args: list[str], words: str, saved: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = saved.with_name("broken.json")
    broken.write_text(json.dumps({**json.loads(saved.read_bytes()), "coverage": []}))
    assert cli.main(["draw", *(a.format(saved=saved, tmp=saved.parent, broken=broken) for a in args)]) == 2
    err = capsys.readouterr().err
    assert err.startswith("analyze: ") and err.count("\n") == 1 and words in err
    assert not saved.with_name("a.svg").exists()


def test_a_layout_that_fails_keeps_no_other_file_back(
    saved: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(svg, "LIMIT", 1e-6)
    monkeypatch.setattr(svg.layout, "__defaults__", (1e-6,))
    dot = saved.with_name("g.dot")
    assert cli.main(["draw", str(saved), "--out", str(saved.with_name("g.svg")), "--out", str(dot)]) == 2
    assert dot.exists() and not saved.with_name("g.svg").exists()
    assert "g.svg not written: the layout" in capsys.readouterr().err
