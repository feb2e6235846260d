"""Every reported fault really happens here, is named by the trace as it happens, and is gone under its mend."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from analyzer.report import Report
from tests.corpus.case import RAISES, SILENT, STOPS
from tests.corpus.running import NAMES, Ran, blamed, case, mechanism, real, report, stop

each = pytest.mark.parametrize("name", NAMES)


@pytest.mark.parametrize("name", [name for name in NAMES if case(name).kind != STOPS])
def test_the_fault(name: str, tmp_path: Path) -> None:
    one, ran, said = case(name), real(name, False, tmp_path), report(name, False, tmp_path)
    errors = [f for f in said.findings if f.severity == "error"]
    found, *others = [f for f in said.findings if (f.code, f.severity) == (one.code, one.severity)]
    assert len(others) == one.errors - 1
    assert one.cause in blamed(name, found)
    assert errors == ([found, *others] if one.kind == RAISES else [])
    if one.kind != RAISES:
        assert (ran.words, said.outputs) == ("", ran.dtypes)
    elif one.recorded:
        assert found.asked.knows_device
    else:
        place = "" if one.really else f"{found.file}:{found.line}"
        assert (found.message, place) == (ran.words, ran.place)
    if (
        one.kind == RAISES
        and not one.really
        and one.errors == 1
        and one.cause.split()[0] in ("parameter", "buffer", "input")
    ):
        cleared = [fix for fix in found.fixes if fix.cleared]
        assert len(cleared) == one.castable
        for fix in cleared:
            assert (fix.proved or one.recorded, fix.errors_left) == (True, 0), fix
            assert (one.cause.split()[1] in fix.what) == one.alone


@pytest.mark.parametrize("name", [name for name in NAMES if case(name).kind == STOPS])
def test_a_stop(name: str, tmp_path: Path) -> None:
    ran = real(name, False, tmp_path)
    assert ran.words
    assert ran.words.splitlines()[0] in stop(name, tmp_path)


@each
def test_the_mend(name: str, tmp_path: Path) -> None:
    one, ran, said = case(name), real(name, True, tmp_path), report(name, True, tmp_path)
    assert (ran.words, said.outputs) == ("", ran.dtypes)
    assert _loud(said) == []
    assert (one.code, one.severity) not in {(f.code, f.severity) for f in said.findings}


@pytest.mark.parametrize("name", [name for name in NAMES if case(name).kind == SILENT])
def test_a_silent_fault_shows_in_the_results(name: str, tmp_path: Path) -> None:
    faulty, mended = (real(name, m, tmp_path / str(m)) for m in (False, True))
    off = case(name).off
    assert _distance(faulty, mended) >= off if off else faulty.dtypes != mended.dtypes


def test_there_are_thirty_cases_and_two_of_each_group() -> None:
    groups = [name[0] for name in NAMES]
    assert len(NAMES) >= 30
    assert all(groups.count(letter) >= 2 for letter in "abcdefghi")
    assert all(case(name).report in mechanism(name) for name in NAMES)


def _loud(said: Report) -> list[str]:
    return [f"{f.code} {f.message}" for f in said.findings if f.severity != "note"]


def _distance(one: Ran, other: Ran) -> float:
    pairs = zip(one.results, other.results, strict=True)
    return max(torch.nan_to_num((a.double() - b.double()).abs(), nan=torch.inf).max().item() for a, b in pairs)
