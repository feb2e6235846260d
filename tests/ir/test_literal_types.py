"""Closed sets of words: a word outside of one is refused before anything runs."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from subprocess import run
from sys import executable

import pytest

from analyzer.errors import AnalyzerError
from analyzer.ir import literal_types
from analyzer.ir.literal_types import SEVERITIES, one_of
from analyzer.ir.plan import Plan, Wrap

SNIPPET = """
from analyzer.ir.plan import Plan
from analyzer.ir.fixes.proposals import Proposal
from analyzer.ir.reason import Reason
from analyzer.rules import Hit

Hit("node", "words", "warning")
Hit("node", "words", "waring")
Plan(device="cpu", stage="train")
Plan(device="gpu")
Plan(stage="test")
Plan(scope="model")
Proposal("stored", "cast")
Proposal("store", "cast")
Reason("kept", "kept_in_fp32")
Reason("kept", "kept_in_f32")
"""


def test_a_mistyped_word_does_not_pass_mypy(tmp_path: Path) -> None:
    file = tmp_path / "snippet.py"
    file.write_text(SNIPPET)
    done = run(
        [executable, "-m", "mypy", "--strict", str(file)],
        capture_output=True, text=True, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    lines = SNIPPET.split("\n")
    wrong = {lines[int(line) - 1] for line in re.findall(r"snippet\.py:(\d+): error: .*incompatible", done.stdout)}
    assert wrong == {
        'Hit("node", "words", "waring")', 'Plan(device="gpu")', 'Plan(stage="test")', 'Plan(scope="model")',
        'Proposal("store", "cast")', 'Reason("kept", "kept_in_f32")',
    }, done.stdout + done.stderr  # fmt: skip


@pytest.mark.parametrize(
    "words", [words for name, words in vars(literal_types).items() if name.isupper() and isinstance(words, tuple)]
)
def test_every_set_has_words_and_each_once(words: tuple[str, ...]) -> None:
    assert words and len(set(words)) == len(words) and all(isinstance(word, str) for word in words)
    assert all(one_of(words, word) is word for word in words)


def test_a_word_of_a_file_is_looked_up() -> None:
    with pytest.raises(ValueError, match="'waring' is none of error, warning, note"):
        one_of(SEVERITIES, "waring")


@pytest.mark.parametrize("fields", [{"device": "gpu"}, {"scope": "model"}, {"stage": "test"}])
def test_a_plan_takes_no_other_word_at_run_time_either(fields: dict[str, str]) -> None:
    with pytest.raises(AnalyzerError, match=f"unknown {next(iter(fields))}"):
        Plan().changed(fields)


def test_a_wrap_takes_no_other_policy() -> None:
    with pytest.raises(AnalyzerError, match="unknown policy 'modules'"):
        replace(Wrap(), policy="modules")
