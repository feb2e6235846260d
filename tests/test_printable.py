"""What is printed on a terminal or into a log is text alone, whatever a worker says."""

from __future__ import annotations

import io
import re
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from analyzer.cli.messages import complain, progress
from analyzer.ir.fixes.proposals import Proposal, Trial
from analyzer.printable import logged, shown
from analyzer.render import fixes, terminal
from analyzer.render.check import text as check_text
from tests.render.checks import check
from tests.render.models import report, seed

EVIL = '"><script>alert(1)</script>\x1b]0;x\x07\n::error::x\u202e\u2066\u200f\u061c\x9b2J\x7f\ud800\r[/nope]'
OBEYED = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def _harmless(text: str) -> None:
    assert not OBEYED.search(text), OBEYED.search(text)
    assert not [line for line in text.splitlines() if line.strip().startswith("::") or "##[" in line]


@pytest.mark.parametrize("number", [*range(0x20), *range(0x7F, 0xA0), 0x61C, 0x200E, 0x200F, 0x2028, 0xD800, 0xDFFF,
                                    *range(0x202A, 0x202F), *range(0x2066, 0x206A), 0xE0001, 0xFEFF])  # fmt: skip
def test_what_is_obeyed_is_written_out(number: int) -> None:
    text = shown(f"a{chr(number)}b")
    assert text.isascii() and text.isprintable() and re.fullmatch(r"a\\\w+b", text)


@pytest.mark.parametrize("text", ["", "plain", "ü → 雪 🦙", "a\u00a0b\u3000c", "[bold]\\"])
def test_what_is_read_stays(text: str) -> None:
    assert shown(text) == text


def test_line_ends_stay_where_they_are_kept() -> None:
    assert shown("a\nb\t\x1b", "\n") == "a\nb\\t\\x1b"


@pytest.mark.parametrize("text", ["::error::x", "a\n  ::error::x", "a\u00a0\n\u3000::x", "see ##[error]x", "##vso[x]"])
def test_a_log_obeys_no_line(text: str) -> None:
    _harmless(logged(text).replace("##vso[", "##["))
    assert logged("at::Tensor ## a [x]") == "at::Tensor ## a [x]"


def test_a_complaint_is_one_harmless_line(capsys: pytest.CaptureFixture[str]) -> None:
    complain(EVIL)
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and r"\x1b]0;x\x07 ::error::x\u202e" in said
    _harmless(said)


@pytest.mark.parametrize("step", ["[/nope]", "[link=https://host]here[/link]", "[bold]x", EVIL])
def test_a_step_is_words_not_markup(step: str, monkeypatch: pytest.MonkeyPatch) -> None:
    class Screen(io.StringIO):
        def isatty(self) -> bool:
            return True

    screen = Screen()
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setenv("TERM", "xterm")
    with progress() as tell:
        tell(step)
    assert "\x1b]8" not in screen.getvalue() and "\x1b]0" not in screen.getvalue()


@pytest.mark.parametrize("width", [30, 60, 100, 400])
def test_a_terminal_and_a_log_obey_no_name(width: int, tmp_path: Path) -> None:
    flow, findings = seed()
    found = tuple(replace(one, message=EVIL, module=EVIL, call=EVIL, code=EVIL, file=EVIL) for one in findings)
    screen = io.StringIO()
    console = Console(file=screen, width=width, color_system=None)
    made = report(flow, found)
    coverage = replace(made.coverage, incomplete=f"{'x' * 50} ::error::{EVIL}")
    terminal.show(replace(made, class_name=EVIL, coverage=coverage), console)
    check_text.show(check(tmp_path / "m", EVIL), console)
    trials = [Trial(Proposal("asked", EVIL), ran=True, casts=EVIL), Trial(Proposal("asked", EVIL))]
    fixes.show(trials, console, errors=1, diffs=True)
    _harmless(screen.getvalue())
    assert r"\x1b]0" in screen.getvalue().replace("\n", "")


def test_a_table_of_fixes_is_text_in_markdown() -> None:
    trial = Trial(Proposal("asked", EVIL + " [a](javascript:x)"), ran=True)
    _, _, row = fixes.to_markdown([trial]).decode().splitlines()
    _harmless(row)
    assert "<" not in row and "[" not in row


def test_many_empty_lines_are_looked_at_once() -> None:
    """A pattern that goes over line ends would begin anew at each of them, and take an hour."""
    assert logged("\n" * 500_000 + "::x") == "\n" * 500_000 + "\\x3a:x"
    assert logged("\t \r ::x") == "\t \r \\x3a:x"
