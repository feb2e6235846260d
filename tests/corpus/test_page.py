"""docs/corpus.md is what the cases say now."""

from __future__ import annotations

import os
from pathlib import Path

from tests.corpus.page import LOUD, loud, page, row
from tests.corpus.running import NAMES, case
from tests.slices import ALL, sliced
from tests.versions import five

PAGE = Path(__file__).parents[2] / "docs" / "corpus.md"


@five
def test_the_page_is_golden() -> None:
    if not (ALL or os.environ.get("UPDATE_GOLDENS")):
        rows = [row(name, case(name)) for name in sliced(NAMES, 4)]
        assert [one for one in rows if one not in PAGE.read_text()] == []
        return
    text = page()
    if os.environ.get("UPDATE_GOLDENS"):
        PAGE.write_text(text)
    assert PAGE.read_text() == text


def test_most_silent_faults_are_told_as_warnings() -> None:
    told, silent = loud()

    assert told >= LOUD * silent
