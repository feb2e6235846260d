"""A worker in another interpreter, which has torch and transformers and nothing that the front prints or draws with."""

from __future__ import annotations

import site
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from analyzer.cli import main
from tests.worker.models import clean, written

__all__ = ["clean"]
SAMPLE = Path(__file__).parents[2] / "samples" / "minicpm_v_2"
MISSING = ("analyzer", "click", "rich", "graphviz", "graphviz_pure", "pygraphviz", "tomli")
WITHOUT = f"import sys\nsys.modules.update(dict.fromkeys({MISSING}))\n"
"""As if they were not installed."""


@pytest.fixture(scope="module")
def foreign(tmp_path_factory: pytest.TempPathFactory) -> str:
    """An interpreter of its own, with the packages of this one but those that are missing."""
    folder = tmp_path_factory.mktemp("foreign")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", "--symlinks", str(folder)], check=True)
    python = folder / ("Scripts" if sys.platform == "win32" else "bin") / "python"
    places = sysconfig.get_paths(vars={"base": str(folder), "platbase": str(folder)})
    packages = Path(places["purelib"])
    (packages / "ours.pth").write_text("\n".join([sysconfig.get_path("purelib"), *site.getsitepackages()]) + "\n")
    (packages / "sitecustomize.py").write_text(WITHOUT)
    return str(python)


def test_it_lacks_what_the_front_has(foreign: str) -> None:
    there = [name for name in ("click", "analyzer", "torch") if _imports(foreign, name)]
    assert there == ["torch"] and _imports(sys.executable, "click")


def _imports(python: str, name: str) -> bool:
    done = subprocess.run([python, "-c", f"import {name}"], capture_output=True, cwd="/", check=False)
    return done.returncode == 0


def test_it_needs_no_reader_of_toml() -> None:
    """Python 3.10 has none of its own, and torch and transformers bring none."""
    code = "import sys, analyzer.worker.worker_main, analyzer.worker.request_handler\nprint('tomllib' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n" or sys.version_info < (3, 11)


def test_it_finds_the_same(foreign: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    seen = []
    for number, more in enumerate(([], ["--python", foreign])):
        out = tmp_path / f"{number}.json"
        assert main(["trace", str(SAMPLE), "--trust-remote-code", "--out", str(out), *more]) == 1
        seen.append((out.read_bytes(), capsys.readouterr()))
    assert seen[0] == seen[1]


def test_whose_interpreter_it_is_shows(foreign: str, tmp_path: Path) -> None:
    marker = f"assert sys.prefix == {str(Path(foreign).parents[1])!r}, sys.prefix"
    assert main(["trace", written(tmp_path, marker), "--python", foreign]) == 0
    assert main(["trace", written(tmp_path, marker)]) == 2
