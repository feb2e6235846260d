"""What CI services run: the definitions are of their published schemas, and their scripts run on a real repository."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from tests.review.folders import edit, plant, sample
from tests.schemas import published, validate

ROOT = Path(__file__).parent.parent


def _run(command: list[str], folder: Path, **values: str) -> subprocess.CompletedProcess[str]:
    path = f"{folder.parent / 'bin'}{os.pathsep}{os.environ['PATH']}"
    values |= {"PATH": path, "PYTHONPATH": str(ROOT), "GITHUB_ACTION_PATH": str(ROOT)}
    return subprocess.run(
        command, cwd=folder, capture_output=True, text=True, check=False, env={**os.environ, **values}
    )


def _git(folder: Path, *args: str) -> None:
    who = ["-c", "user.name=a", "-c", "user.email=a@b"]
    subprocess.run(["git", "-C", str(folder), *who, *args], check=True, capture_output=True)


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with a model on main, a second fault on a branch, and `analyze` on the path."""
    top = tmp_path_factory.mktemp("ci") / "repository"
    folder = sample(top / "model")
    tool = top.parent / "bin" / "analyze"
    tool.parent.mkdir()
    tool.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m analyzer "$@"\n')
    tool.chmod(0o755)
    _git(top, "init", "-q", "-b", "main")
    made = _run(
        ["analyze", "check", "model", "--trust-remote-code", "--baseline", "known.json", "--update-baseline"], top
    )
    assert made.returncode == 0, made.stderr
    _git(top, "add", "-A")
    _git(top, "commit", "-q", "-m", "one")
    _git(top, "checkout", "-q", "-b", "branch")
    edit(plant(folder), "import math\n", "# moved\nimport math\n")
    _git(top, "commit", "-q", "-a", "-m", "two")
    return top


def _definition(name: str) -> Any:
    return yaml.safe_load((ROOT / name).read_text(encoding="utf-8"))


def test_the_pre_commit_hook_is_of_the_schema_and_fails_on_what_is_new(repository: Path) -> None:
    (hook,) = _definition(".pre-commit-hooks.yaml")
    validate([hook], "pre-commit-hooks")
    args = ["model", "--trust-remote-code", "--baseline", "known.json"]
    done = _run([*hook["entry"].split(), *args], repository)
    assert done.returncode == 1 and "model: 1 new error, 1 known" in done.stdout


def test_the_github_action_annotates_summarises_and_hands_files_on(repository: Path, tmp_path: Path) -> None:
    action = _definition("action.yml")
    validate(action, "github-action")
    (step,) = action["runs"]["steps"]
    given = {"model": "model", "args": "--trust-remote-code\n", "baseline": "known.json", "base": "main"}
    given = {name: given.get(name, one.get("default", "")) for name, one in action["inputs"].items()}
    given |= {"python": sys.executable, "report-dir": str(tmp_path / "report")}
    values = {key: given[text.split("inputs.")[1].split(" ")[0]] for key, text in step["env"].items()}
    done = _run(
        ["bash", "-c", step["run"]], repository, GITHUB_STEP_SUMMARY=str(tmp_path / "summary"),
        GITHUB_OUTPUT=str(tmp_path / "output"), **values,
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].startswith("::error file=model/resampler.py,line=") and lines[1].startswith("::notice file=model/")
    assert json.loads((tmp_path / "report" / "dtypes.sarif").read_text())["version"] == "2.1.0"
    summary = (tmp_path / "summary").read_text()
    assert "1 new error, 1 known" in summary and "```mermaid" in summary and "### analyze diff" in summary
    outputs = dict(line.split("=", 1) for line in (tmp_path / "output").read_text().splitlines())
    assert outputs["exit-code"] == "1" and set(outputs) == set(action["outputs"])
    assert all(Path(outputs[name]).is_file() for name in ("sarif", "comment"))


def test_the_gitlab_job_writes_the_reports_that_it_names(repository: Path) -> None:
    (job,) = jobs = _definition("integrations/gitlab-ci.yml").values()
    assert jobs
    script = "set -e\n" + "\n".join(job["script"])
    done = _run(["bash", "-c", script], repository, **{**job["variables"], "MODEL": "model"})
    assert done.returncode == 1, done.stderr
    found = json.loads((repository / job["artifacts"]["reports"]["codequality"]).read_text())
    assert [one["location"]["path"] for one in found] == ["model/resampler.py"] * 2
    assert (repository / job["artifacts"]["reports"]["junit"]).read_text().startswith("<?xml")
    assert set(job["artifacts"]["reports"].values()) == set(job["artifacts"]["paths"])


def test_a_schema_refuses_what_is_wrong() -> None:
    action = _definition("action.yml")
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**action, "runs": {"using": "composite"}}, published("github-action"))
