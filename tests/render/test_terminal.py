"""The terminal: census first, findings, totals; readable in 80 columns and without colour."""

from __future__ import annotations

import io
import re
from dataclasses import replace

import pytest
from rich.console import Console

from analyzer.ir.findings import Coverage
from analyzer.render import terminal
from analyzer.render.words import size
from tests.render.models import report, seed


def _shown(**options: object) -> str:
    out = io.StringIO()
    console = Console(file=out, **{"width": 80, **options})  # type: ignore[arg-type]
    terminal.show(report(*seed()), console)
    return out.getvalue()


def test_census_then_findings_then_totals() -> None:
    text = _shown()
    census, finding, total = (
        text.index("3 bf16, 1 f32"),
        text.index("DT101"),
        text.index("1 error, 0 warnings, 1 note;"),
    )
    assert census < finding < total
    for part in ("resampler.py:158", "f32 from parameter resampler.pos_embed at resampler.py:103", "576.0 KiB"):
        assert part in text
    notes = [line for line in text.splitlines() if "DT301" in line]
    assert notes == ["#2 note DT301 m.py:3: cast back"] and finding < text.index(notes[0]) < total


def test_a_note_is_one_line_however_long_and_its_details_are_asked_for() -> None:
    flow, (error, note) = seed()
    long_one = replace(note, message="cast back " * 20, nodes=("h38", "h39"), file="transformers/models/m.py")
    made = report(flow, (error, long_one))
    short, long = io.StringIO(), io.StringIO()
    terminal.show(made, Console(file=short, width=80))
    terminal.show(made, Console(file=long, width=80), notes=True)
    (line,) = [line for line in short.getvalue().splitlines() if "DT301" in line]
    assert line.startswith("#2 note DT301 m.py:3 x 2: cast back") and len(line) == 80 and line.endswith("…")
    assert long.getvalue().count("cast back") == 20 and "#2 note" in long.getvalue()


def test_no_zero_is_told_of_a_run_that_stopped_early() -> None:
    flow, (error, note) = seed()
    for found, words in (
        ((), "partial verdict: nothing found so far, in 27 ops"),
        ((note,), "partial verdict: 1 note so far, in 27 ops"),
        ((error, note), "partial verdict: 1 error, 1 note so far, in 27 ops"),
    ):
        made = replace(report(flow, found), coverage=Coverage(27, (), "KeyError: x at m.py:12"))
        out = io.StringIO()
        terminal.show(made, Console(file=out, width=80))
        assert out.getvalue().splitlines()[-2:] == ["incomplete: KeyError: x at m.py:12", words]
        assert not re.search(r"\b0 ", out.getvalue().partition("incomplete")[2])


def test_it_fits_in_80_columns() -> None:
    assert max(map(len, _shown().splitlines())) <= 80


def test_no_color(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[3" not in _shown(force_terminal=True)


def test_sizes_are_for_people() -> None:
    assert [size(n) for n in (0, 1023, 3 << 30, -2048)] == ["0 B", "1023 B", "3.0 GiB", "-2.0 KiB"]


def test_a_finding_says_that_it_is_in_the_backward_pass() -> None:
    flow, findings = seed()
    out = io.StringIO()
    terminal.show(report(flow, [replace(f, phase="backward") for f in findings]), Console(file=out, width=120))
    assert "in backward of resampler.attn" in out.getvalue()
