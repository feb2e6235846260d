"""docs/remote-code.md lists what is lent by name, as the tables have it."""

from __future__ import annotations

import importlib.util
from pathlib import Path

ROOT = Path(__file__).parents[3]


def test_the_page_agrees_with_the_tables() -> None:
    spec = importlib.util.spec_from_file_location("docs_old_names", ROOT / "docs" / "old_names.py")
    assert spec is not None and spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    text = made.PAGE.read_text(encoding="utf-8")
    assert made.START in text and made.page(text) == text, "run `python docs/old_names.py`"
