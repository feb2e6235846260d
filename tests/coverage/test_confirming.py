"""An error that the table has is that of the real run, and the comparison can fail."""

from __future__ import annotations

from tests.coverage.cases import cases
from tests.coverage.confirming import _compared, confirm
from tests.truth.running import Raised


def test_a_class_with_an_error_really_raises_it() -> None:
    (case,) = [one for one in cases() if one.name == "reformer ReformerModel"]
    assert confirm(case) == "raises the same at the same line"


def test_a_class_without_an_error_has_none_to_compare() -> None:
    (case,) = [one for one in cases() if one.name == "gpt2 GPT2Model"]
    assert confirm(case) == "no error is reported without labels"


def test_other_words_another_line_and_no_error_are_told_apart() -> None:
    assert _compared(None, "a", "f.py:1").startswith("NOT CONFIRMED: the real one runs")
    for words, place in (("b", "f.py:1"), ("a", "f.py:2")):
        assert _compared(Raised(words, place, 0), "a", "f.py:1").startswith("NOT CONFIRMED: raises")
    assert _compared(Raised("a", "f.py:1", 0), "a", "f.py:1") == "raises the same at the same line"
