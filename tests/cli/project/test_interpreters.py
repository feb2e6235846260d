"""Which interpreter a project may choose: its own, never that of a model, of a commit or of somebody else."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from analyzer.cli import main
from analyzer.cli.project import beside, project_python
from analyzer.errors import AnalyzerError
from tests.worker.models import written

pytestmark = pytest.mark.skipif(
    not shutil.which("git") or os.name == "nt", reason="needs git, and writes a script for a shell"
)
NAMES = '[tool.analyzer]\npython = "{}"\n'


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with an environment that git does not keep, in which the command stands."""
    root = tmp_path / "project"
    (root / "model").mkdir(parents=True)
    _script(root / ".venv" / "bin" / "python", "")
    _git(root, "init", "-q")
    monkeypatch.chdir(root)
    return root


def _script(file: Path, does: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f"#!/bin/sh\n{does}\n")
    file.chmod(0o755)


def _git(root: Path, *args: str) -> None:
    subprocess.run(["git", *args], cwd=root, check=True)


def _says(folder: Path, path: str) -> None:
    (folder / "pyproject.toml").write_text(NAMES.format(path))


def test_the_project_names_its_own(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _says(project, ".venv/bin/python")
    assert project_python(Path("model")) == ".venv/bin/python"
    (project / "sub").mkdir()
    monkeypatch.chdir(project / "sub")
    assert Path(project_python(Path("../model"))).samefile(project / ".venv/bin/python")
    _says(project / "sub", str(project / ".venv/bin/python"))
    assert project_python(Path("../model")) == str(project / ".venv/bin/python")


@pytest.mark.parametrize("here", [".", "model", "model/deep"])
def test_a_model_names_none(here: str, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (project / "model" / "deep").mkdir()
    for folder in (project / "model", project / "model" / "deep"):
        _says(folder, "evil")
        _script(folder / "evil", "touch mark")
    monkeypatch.chdir(project / here)
    assert project_python(project / "model") == "" and beside(project / "model").python == ""
    assert main(["trace", str(project / "model")]) == 2
    assert not list(project.rglob("mark"))


@pytest.mark.parametrize("added", ["evil", ".venv", ".venv/bin", "linked"])
def test_what_came_with_a_commit_is_not_started(added: str, project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    named = {"evil": "evil", "linked": "linked/bin/python"}.get(added, ".venv/bin/python")
    _script(project / "evil", "touch mark")
    _script(project / "tools" / "bin" / "python", "touch mark")
    if added == "linked":
        (project / "linked").symlink_to("tools")
        _git(project, "add", "tools")
    else:
        _git(project, "add", added)
    _says(project, named)
    assert main(["trace", written(project)]) == 2
    err = capsys.readouterr().err
    assert "came with the repository" in err and "--python PATH" in err and err.count("\n") == 1
    assert not list(project.rglob("mark"))


def test_without_a_repository_nobody_says_whose_it_is(project: Path) -> None:
    shutil.rmtree(project / ".git")
    _says(project, ".venv/bin/python")
    with pytest.raises(AnalyzerError, match="git does not say that it is yours"):
        project_python(Path("model"))


@pytest.mark.skipif(os.name == "nt" or getattr(os, "getuid", lambda: 1)() != 0, reason="only root gives files away")
@pytest.mark.parametrize("file", ["pyproject.toml", ".venv/bin/python"])
def test_what_belongs_to_somebody_else_is_not_started(file: str, project: Path) -> None:
    _says(project, ".venv/bin/python")
    os.chown(project / file, 12345, 12345)
    with pytest.raises(AnalyzerError, match="belongs to somebody else"):
        project_python(Path("model"))


@pytest.mark.parametrize(("said", "words"), [("nowhere", "no such file: nowhere"), ("", "is no path")])
def test_what_is_no_interpreter_is_told(said: str, words: str, project: Path) -> None:
    _says(project, said)
    with pytest.raises(AnalyzerError, match=words):
        project_python(Path("model"))


@pytest.mark.parametrize(("text", "words"), [("[broken", ""), ("[tool.analyzer]\nbroken", "cannot be read")])
def test_a_broken_file_counts_only_where_it_is_for_analyze(text: str, words: str, project: Path) -> None:
    (project / "pyproject.toml").write_text(text)
    if not words:
        assert project_python(Path("model")) == ""
        return
    with pytest.raises(AnalyzerError, match=words):
        project_python(Path("model"))


def test_the_trace_runs_in_it(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    venv = project / ".venv"
    shutil.rmtree(venv)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", "--symlinks", str(venv)], check=True)
    (packages,) = venv.glob("lib/python*/site-packages")
    (packages / "ours.pth").write_text("\n".join(path for path in sys.path if path.endswith("-packages")))
    _says(project, ".venv/bin/python")
    model = written(project, f"assert sys.prefix == {str(venv)!r}, sys.prefix")
    assert main(["trace", model]) == 0
    _says(project, "elsewhere")
    assert main(["trace", model, "--python", str(venv / "bin" / "python")]) == 0, "what is typed counts alone"


def test_the_environment_beside_is_known_by_its_names(project: Path) -> None:
    (project / "pyproject.toml").write_text("[project]\n")
    packages = project / ".venv" / "lib" / "python3.11" / "site-packages"
    for name in ("torch-2.6.0.dist-info", "torch", "transformers", "Odd_Name-1.0.dist-info", "odd_name"):
        (packages / name).mkdir(parents=True)
    assert beside(Path("model")).python == "", "it could not trace"
    (packages / "transformers-4.44.2.dist-info").mkdir()
    found = beside(Path("model"))
    assert found.python == ".venv/bin/python"
    assert found.has == {"torch": "2.6.0", "transformers": "4.44.2", "odd_name": "1.0"}
