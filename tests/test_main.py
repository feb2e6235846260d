"""The command imports nothing from the current folder, unless analyze itself lies there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CODE = """
import json, os, sys
sys.path.append({!r})
from analyzer.__main__ import leave_current_folder
leave_current_folder()
print(json.dumps([sys.path, {{name: value for name, value in os.environ.items() if name.startswith("PYTHON")}}]))
"""


def _left(here: Path, *flags: str, **values: str) -> tuple[list[str], dict[str, str]]:
    """The path for imports in a folder, and what Pythons started later are told."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    command = [sys.executable, *flags, "-c", CODE.format(str(ROOT))]
    done = subprocess.run(command, cwd=here, env={**environment, **values}, capture_output=True, check=True)
    path, told = json.loads(done.stdout)
    return path, told


@pytest.mark.parametrize("value", ["", ":", ".", "./:sub"])
def test_the_current_folder_leaves_the_path(tmp_path: Path, value: str) -> None:
    (tmp_path / "sub").mkdir()
    path, told = _left(tmp_path, PYTHONPATH=value)
    assert not {"", str(tmp_path), str(tmp_path / "sub")} & set(path) and told == {}
    assert str(ROOT) in path and str(Path(os.__file__).parent) in path


def test_folders_that_are_named_whole_stay(tmp_path: Path) -> None:
    path, told = _left(tmp_path, PYTHONPATH=f":{tmp_path / 'own'}:sub", PYTHONHASHSEED="1")
    assert str(tmp_path / "own") in path and str(tmp_path / "sub") not in path
    assert told == {"PYTHONPATH": str(tmp_path / "own"), "PYTHONHASHSEED": "1"}


def test_a_checkout_of_analyze_runs_from_its_folder() -> None:
    path, _ = _left(ROOT, PYTHONPATH=".")
    assert path.index(str(ROOT)) < path.index(str(Path(os.__file__).parent))


def test_packages_are_found_where_somebody_stands_among_them() -> None:
    packages = Path(pytest.__file__).parents[1]
    path, _ = _left(packages)
    assert str(packages) in path and "" not in path


def test_the_pythons_of_an_isolated_one_are_told_nothing(tmp_path: Path) -> None:
    _, told = _left(tmp_path, "-I", PYTHONPATH=str(tmp_path), PYTHONHASHSEED="1", PYTHONINSPECT="1")
    assert told == {"PYTHONNOUSERSITE": "1"}
