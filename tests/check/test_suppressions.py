"""Patterns of suppressions come from a stranger's project: they are short."""

from __future__ import annotations

from pathlib import Path

import pytest

from analyzer.check.suppressions import configured
from analyzer.errors import AnalyzerError


@pytest.mark.parametrize("key", ["module", "file"])
def test_a_pattern_is_no_longer_than_a_name(key: str, tmp_path: Path) -> None:
    """Matching looks for the end of a set of characters from each bracket."""
    row = f'code = "DT101", reason = "why", {key} = "{"[" * 20_000}"'
    (tmp_path / "pyproject.toml").write_text(f"[tool.analyzer]\nsuppress = [{{ {row} }}]\n")
    with pytest.raises(AnalyzerError, match="no text of at most 256 characters"):
        configured([tmp_path], {"mixed-product": "DT101"})
