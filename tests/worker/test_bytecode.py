"""What a confined worker cannot compile is compiled before, and only once."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

CODE = """
import sys
sys.path.insert(0, {!r})
from analyzer.worker.bytecode import compile_once
compile_once(["slow", "slow.deep"])
"""


@pytest.fixture
def slow(tmp_path: Path) -> Path:
    """A package that says each time that it is imported."""
    (tmp_path / "slow").mkdir()
    (tmp_path / "slow" / "__init__.py").write_text("open(__file__ + '.log', 'a').write('x')\n")
    (tmp_path / "slow" / "deep.py").write_text("x = 1\n")
    return tmp_path


def _run(folder: Path, here: Path) -> None:
    environment = {"PYTHONPATH": f"{folder}:{Path(__file__).parents[2]}", "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-c", CODE.format(str(folder))]
    subprocess.run(command, check=True, env=environment, cwd=here)


@pytest.mark.skipif(sys.platform == "win32", reason="the path is written as elsewhere")
def test_a_package_without_bytecode_is_imported_once(slow: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "model"
    elsewhere.mkdir()
    (elsewhere / "slow.py").write_text("raise SystemExit('a file of the current folder')\n")
    for _ in range(2):
        _run(slow, elsewhere)
        names = {file.name.partition(".")[0] for file in (slow / "slow" / "__pycache__").iterdir()}
        assert names == {"__init__", "deep"} and (slow / "slow" / "__init__.py.log").read_text() == "x"
