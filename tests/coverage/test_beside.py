"""Classes that need a package that lies beside are traced with it, and say so in their rows."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.coverage.beside import lies_beside
from tests.coverage.running import PARTIAL, TRACED, Row, lacking

LACKING = {"timm_wrapper TimmWrapperModel": "timm", "yolos YolosForObjectDetection": "scipy"}
needs_timm = pytest.mark.skipif(not lies_beside("timm"), reason="no packages beside: make installs them")


@needs_timm
def test_classes_are_traced_with_packages_that_lie_beside(tmp_path: Path) -> None:
    says = {name: f"ImportError: {name} requires the {package} library but it was not found in your environment"
            for name, package in LACKING.items()}  # fmt: skip
    rows = tmp_path / "rows.jsonl"
    made = [{"name": name, "outcome": "no default", "why": why, "errors": [], "warnings": []}
            for name, why in says.items()]  # fmt: skip
    rows.write_text("".join(json.dumps(row) + "\n" for row in made))
    assert [lacking(why) for why in says.values()] == list(LACKING.values())
    command = [sys.executable, "-m", "tests.coverage.beside", f"^({'|'.join(LACKING)})$", "--tasks", "--again", "."]
    subprocess.run([*command, "--rows", str(rows)], check=True, capture_output=True)
    found = [Row(**json.loads(line)) for line in rows.read_text().splitlines()[len(LACKING) :]]
    assert {(row.outcome, row.beside, row.loss) for row in found} == {
        (TRACED, "timm", ""), (TRACED, "scipy", "taken"),
    }  # fmt: skip


def test_what_is_there_does_not_lie_beside() -> None:
    assert not lies_beside("") and not lies_beside("torchvision") and lacking(PARTIAL) == ""
