"""What CI services run: the definitions are of their published schemas, and their scripts run on a real repository."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from analyzer import cli
from tests.check.folders import edit, plant, sample
from tests.hostile.runner_log import read_log, read_outputs
from tests.schemas import published, validate
from tests.served import run

ROOT = Path(__file__).parent.parent


def _git(folder: Path, *args: str) -> None:
    who = ["-c", "user.name=a", "-c", "user.email=a@b"]
    subprocess.run(["git", "-C", str(folder), *who, *args], check=True, capture_output=True)


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with a model on main, and on a branch a second fault."""
    top = tmp_path_factory.mktemp("ci") / "repository"
    folder = sample(top / "model")
    _git(top, "init", "-q", "-b", "main")
    other = str(sample(top.parent / "other" / "model"))  # a process imports the code of a folder once
    known = ["--baseline", str(top / "known.json"), "--update-baseline"]
    assert cli.main(["check", other, "--trust-remote-code", *known]) == 0
    _git(top, "add", "-A")
    _git(top, "commit", "-q", "-m", "one")
    _git(top, "checkout", "-q", "-b", "branch")
    edit(plant(folder), "import math\n", "# moved\nimport math\n")
    _git(top, "commit", "-q", "-a", "-m", "two")
    return top


def _definition(name: str) -> Any:
    return yaml.safe_load((ROOT / name).read_text(encoding="utf-8"))


def test_the_pre_commit_hook_is_of_the_schema_and_fails_on_what_is_new(repository: Path, tmp_path: Path) -> None:
    (hook,) = _definition(".pre-commit-hooks.yaml")
    validate([hook], "pre-commit-hooks")
    args = ["model", "--trust-remote-code", "--baseline", "known.json"]
    done = run([*hook["entry"].split(), *args], repository, tmp_path)
    assert done.returncode == 1 and "model: 1 new error, 1 known" in done.stdout


def _act(repository: Path, scratch: Path, **inputs: str) -> subprocess.CompletedProcess[str]:
    action = _definition("action.yml")
    validate(action, "github-action")
    (step,) = action["runs"]["steps"]
    given = {name: one.get("default", "") for name, one in action["inputs"].items()} | inputs
    given |= {"model": "model", "baseline": "known.json", "report-dir": str(scratch / "report")}
    values = {key: given[text.split("inputs.")[1].split(" ")[0]] for key, text in step["env"].items()}
    return run(
        ["bash", "-c", step["run"]], repository, scratch, GITHUB_ACTION_PATH=str(ROOT),
        GITHUB_STEP_SUMMARY=str(scratch / "summary"), GITHUB_OUTPUT=str(scratch / "output"), **values,
    )  # fmt: skip


def test_the_github_action_annotates_summarises_and_hands_files_on(repository: Path, tmp_path: Path) -> None:
    done = _act(repository, tmp_path, args="--trust-remote-code\n", base="main")
    assert done.returncode == 1, done.stdout
    lines, said = read_log(done.stdout)
    assert lines[0].startswith("::error file=model/resampler.py,line=") and lines[1].startswith("::notice file=model/")
    assert "analyze: model: 1 new error, 1 known" in said
    assert json.loads((tmp_path / "report" / "dtypes.sarif").read_text())["version"] == "2.1.0"
    summary = (tmp_path / "summary").read_text()
    assert "1 new error, 1 known" in summary and "```mermaid" in summary and "### analyze diff" in summary
    outputs = read_outputs((tmp_path / "output").read_text())
    assert outputs["exit-code"] == "1" and set(outputs) == set(_definition("action.yml")["outputs"])
    files = [Path(outputs[name]) for name in ("sarif", "junit", "comment")]
    assert all(file.is_file() and file.parent == tmp_path / "report" for file in files)


def test_the_github_actions_annotations_are_no_matter_of_arguments(repository: Path, tmp_path: Path) -> None:
    done = _act(repository, tmp_path, args=f"--trust-remote-code\n--format\ntext\n--out\n{tmp_path / 'other'}")
    assert done.returncode == 1 and read_log(done.stdout)[0][0].startswith("::error file=model/"), done.stdout


def test_the_gitlab_job_writes_the_reports_that_it_names(repository: Path, tmp_path: Path) -> None:
    (job,) = jobs = _definition("integrations/gitlab-ci.yml").values()
    assert jobs
    assert "trust" not in job["variables"]["ARGUMENTS"]
    (repository / "dtype-report").symlink_to(tmp_path)  # as a merge request may bring it
    script = "\n".join(["set -e", *job["before_script"][:-1], *job["script"]])
    given = {**job["variables"], "MODEL": "model", "ARGUMENTS": "--trust-remote-code"}
    done = run(["bash", "-c", script], repository, tmp_path, **given)
    assert done.returncode == 1, done.stdout
    assert not list(tmp_path.glob("dtypes.*"))
    found = json.loads((repository / job["artifacts"]["reports"]["codequality"]).read_text())
    assert [one["location"]["path"] for one in found] == ["model/resampler.py"] * 2
    assert (repository / job["artifacts"]["reports"]["junit"]).read_text().startswith("<?xml")
    assert set(job["artifacts"]["reports"].values()) == set(job["artifacts"]["paths"])


@pytest.mark.parametrize("given", [{"MODEL": "link"}, {"ARGUMENTS": "--notes --baseline file.json"}])
def test_the_gitlab_job_refuses_a_link_that_leads_out(given: dict[str, str], repository: Path, tmp_path: Path) -> None:
    (job,) = _definition("integrations/gitlab-ci.yml").values()
    for name, target in {"link": tmp_path, "file.json": tmp_path / "file.json"}.items():
        (repository / name).unlink(missing_ok=True)
        (repository / name).symlink_to(target)
    script = "\n".join(["set -e", *job["script"]])
    done = run(["bash", "-c", script], repository, tmp_path, **{**job["variables"], **given})
    assert (done.returncode, done.stdout) == (2, "analyze: a link leads out of the project\n")


def test_a_schema_refuses_what_is_wrong() -> None:
    action = _definition("action.yml")
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**action, "runs": {"using": "composite"}}, published("github-action"))
