"""The terminal: census first, findings, totals; readable in 80 columns and without colour."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from rich.console import Console

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
    assert "DT301" not in text


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
