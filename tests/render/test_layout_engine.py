"""The layout engine is found wherever pip puts it, and a picture that no engine lays out is not passed over."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
from importlib.metadata import distribution
from pathlib import Path

import pytest

from analyzer.render.svg import layout
from tests.worker.models import written

ROOT = Path(__file__).parents[2]
PACKAGES = Path(sysconfig.get_path("purelib"))
ENGINE = "graphviz-pure" + (sysconfig.get_config_var("EXE") or "")
SAY = "from analyzer.render.layout_engine import engine; print(engine())"
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the environments are made of links")


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An interpreter that has every package of this one but the layout engine."""
    folder = tmp_path_factory.mktemp("bare")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    packages = folder / "behind" / "site-packages"  # as installers make one that share their files by links
    behind = Path(sysconfig.get_path("purelib", vars={"base": str(folder)}))
    packages.mkdir(parents=True)
    for entry in PACKAGES.iterdir():
        if not entry.name.startswith("graphviz_pure"):
            (packages / entry.name).symlink_to(entry)
    (behind / "behind.pth").write_text(f"{packages}\n")
    return folder / "bin" / "python"


def _run(python: Path, *args: str, **more: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PATH": "/usr/bin", "PYTHONPATH": str(ROOT), "PYTHONUSERBASE": "/nowhere", **more}
    return subprocess.run([str(python), *args], capture_output=True, text=True, check=False, env=env)


def _installed(bin_folder: Path, packages: Path) -> None:
    """Put the engine into two folders, as pip does."""
    found = distribution("graphviz-pure")
    program = next(file for file in found.files or () if file.name == ENGINE)
    bin_folder.mkdir(parents=True)
    packages.mkdir(parents=True, exist_ok=True)
    shutil.copy(str(program.locate()), bin_folder / ENGINE)
    record = next(file for file in found.files or () if file.name == "RECORD")
    home = packages / record.parent.name
    home.mkdir()
    for name in ("METADATA", "RECORD"):
        shutil.copy(str(record.locate().with_name(name)), home)  # type: ignore[attr-defined]


def test_behind_the_packages_of_an_environment_are_those_of_another_and_their_program(bare: Path) -> None:
    done = _run(bare, "-c", SAY, PYTHONPATH=f"{ROOT}{os.pathsep}{PACKAGES}")
    assert done.stdout.strip() == str(Path(sysconfig.get_path("scripts")) / ENGINE), done.stderr


def test_in_a_folder_that_pip_filled_as_its_target(bare: Path, tmp_path: Path) -> None:
    _installed(tmp_path / "target" / "bin", tmp_path / "target")
    done = _run(bare, "-c", SAY, PYTHONPATH=f"{ROOT}{os.pathsep}{tmp_path / 'target'}")
    assert done.stdout.strip() == str(tmp_path / "target" / "bin" / ENGINE), done.stderr


def test_among_a_persons_own_packages(tmp_path: Path) -> None:
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    _installed(tmp_path / "bin", tmp_path / "lib" / version / "site-packages")
    done = _run(Path(sys._base_executable), "-c", SAY, PYTHONUSERBASE=str(tmp_path))  # type: ignore[attr-defined]
    own = Path(sys.base_prefix, "bin", ENGINE)  # where this Python may have one itself
    assert Path(done.stdout.strip()) == (own if own.is_file() else tmp_path / "bin" / ENGINE), done.stderr


def test_a_page_has_the_letters_of_its_names_in_any_code_page(monkeypatch: pytest.MonkeyPatch) -> None:
    source = 'digraph { a [label="Größe → 模型"] }'.encode()
    usual = layout(source, "svg"), _undated(layout(source, "pdf"))
    monkeypatch.setenv("PYTHONIOENCODING", "cp1252")
    assert (layout(source, "svg"), _undated(layout(source, "pdf"))) == usual


def _undated(pdf: bytes) -> bytes:
    return re.sub(rb"/CreationDate.*", b"", pdf)


def test_none_is_told_with_what_helps_and_is_not_green(bare: Path, tmp_path: Path) -> None:
    model, picture, data = written(tmp_path, "pass"), tmp_path / "graph.svg", tmp_path / "graph.json"
    traced = _run(bare, "-m", "analyzer", "trace", model, "--out", str(picture), "--out", str(data))
    words = f"{picture} not written: the layout engine graphviz-pure is not installed (pip install graphviz-pure)"
    assert traced.returncode == 2 and words in " ".join(traced.stderr.split()), traced.stderr
    assert data.exists() and not picture.exists()
    drawn = _run(bare, "-m", "analyzer", "draw", str(data), "--out", str(picture))
    assert drawn.returncode == 2 and words in " ".join(drawn.stderr.split()), drawn.stderr
