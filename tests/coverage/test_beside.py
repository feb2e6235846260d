"""Classes that need a package that lies beside are traced with it, and say so in their rows."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.coverage.beside import lies_beside
from tests.coverage.running import PARTIAL, TRACED, Row, lacking

needs_timm = pytest.mark.skipif(not lies_beside("timm"), reason="no packages beside: make installs them")


@needs_timm
def test_a_class_around_timm_is_traced_with_the_package_beside(tmp_path: Path) -> None:
    why = "ImportError: TimmWrapperModel requires the timm library but it was not found in your environment"
    rows = tmp_path / "rows.jsonl"
    rows.write_text(json.dumps({"name": "timm_wrapper TimmWrapperModel", "outcome": "no default", "why": why,
                                "errors": [], "warnings": []}) + "\n")  # fmt: skip
    assert lacking(why) == "timm"
    command = [sys.executable, "-m", "tests.coverage.beside", "^timm_wrapper TimmWrapperModel$", "--again", "."]
    subprocess.run([*command, "--rows", str(rows)], check=True, capture_output=True)
    row = Row(**json.loads(rows.read_text().splitlines()[-1]))
    assert (row.outcome, row.beside) == (TRACED, "timm") and row.ops > 100


def test_what_is_there_does_not_lie_beside() -> None:
    assert not lies_beside("") and not lies_beside("torchvision") and lacking(PARTIAL) == ""
