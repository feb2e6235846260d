"""A format that is added in one line is taken by every command, and none is listed a second time."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from analyzer.render import FORMATS as OF_REPORTS
from analyzer.render import check, diff
from analyzer.render.formats import Format
from tests.check.folders import sample
from tests.render.models import report, seed

ONE_LINE = """
import sys
from analyzer.render import FORMATS, check, diff
from analyzer.render.formats import Format
{line}
from analyzer.cli import main
sys.exit(main({args!r}))
"""


def _run(line: str, *args: str) -> subprocess.CompletedProcess[str]:
    code = ONE_LINE.format(line=line, args=list(args))
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


@pytest.mark.parametrize("row", [*OF_REPORTS.values(), *check.FORMATS.values(), *diff.FORMATS.values()])
def test_every_row_leads_to_a_function(row: Format) -> None:
    assert callable(row.load())


def test_a_format_of_reports_is_taken_by_draw(tmp_path: Path) -> None:
    saved, out = tmp_path / "a.json", tmp_path / "a.graph"
    saved.write_bytes(OF_REPORTS[".json"](report(*seed())))
    done = _run('FORMATS[".graph"] = Format("analyzer.render.txt:render")', "draw", str(saved), "--out", str(out))
    assert done.returncode == 0, done.stderr
    assert out.read_bytes() == OF_REPORTS[".txt"](report(*seed()))


def test_a_format_of_differences_is_taken_by_diff(tmp_path: Path) -> None:
    saved, out = tmp_path / "a.json", tmp_path / "d.log"
    saved.write_bytes(OF_REPORTS[".json"](report(*seed())))
    line = 'diff.FORMATS[".log"] = Format("analyzer.render.diff.txt:render")'
    done = _run(line, "diff", str(saved), str(saved), "--out", str(out))
    assert done.returncode == 0 and out.read_text() == done.stdout
    assert ".log" in _run(line, "diff", "--help").stdout


def test_a_format_of_checks_is_taken_by_check_with_its_edits(tmp_path: Path) -> None:
    folder, also = sample(tmp_path / "m"), tmp_path / "again.json"
    line = 'check.FORMATS["dummy"] = Format("analyzer.render.check.json:render", carries_edits=True)'
    options = ("--trust-remote-code", "--format", "dummy", "--out", str(tmp_path / "c"), "--also", f"dummy={also}")
    done = _run(line, "check", str(folder), *options)
    assert done.returncode == 1, done.stderr
    assert (tmp_path / "c").read_bytes() == also.read_bytes() and b"+++ b/" in also.read_bytes()
    assert "dummy" in _run(line, "check", "--help").stdout
