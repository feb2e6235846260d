"""The action and the commands in a stranger's checkout: no trap springs, and nothing is written through a link."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from tests.hostile.checkout import LIBRARY, ROOT, action, git, hostile, interpreter
from tests.hostile.runner_log import read_log, read_outputs

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="links and programs are made as elsewhere")
PACKAGES = str(Path(yaml.__file__).parents[1])


@dataclass(frozen=True)
class Place:
    top: Path
    marks: Path
    python: Path
    """One in which analyze is installed."""

    def sprung(self) -> list[str]:
        return sorted(file.name for file in self.marks.iterdir())


Run = subprocess.CompletedProcess[str]
Acted = tuple[Run, Path]
"""A run, and the folder that stands for the runner's."""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    base = tmp_path_factory.mktemp("hostile")
    top = hostile(base / "checkout", base / "marks")
    return Place(top, base / "marks", interpreter(base / "python", str(ROOT), PACKAGES))


def _act(place: Place, scratch: Path, python: Path, source: Path, inputs: dict[str, str]) -> Run:
    """Run the step of the action as a runner does, with a sloppy workflow's variables."""
    definition = yaml.safe_load((source / "action.yml").read_text())
    (step,) = definition["runs"]["steps"]
    given = {name: one.get("default", "") for name, one in definition["inputs"].items()} | inputs
    values = {key: given[text.split("inputs.")[1].split(" ")[0]] for key, text in step["env"].items()}
    (scratch / "temp").mkdir()
    environment = {
        **os.environ, **values, "HOME": str(scratch), "RUNNER_TEMP": str(scratch / "temp"),
        "GITHUB_WORKSPACE": str(place.top), "GITHUB_ACTION_PATH": str(source),
        "GITHUB_OUTPUT": str(scratch / "output"), "GITHUB_STEP_SUMMARY": str(scratch / "summary"),
        "PATH": f".::{python.parent}:{os.environ['PATH']}:", "PYTHONPATH": f".:{place.top}", "PYTHONSTARTUP": "trap.py",
        "PIP_CONFIG_FILE": "pip.conf", "PIP_CONSTRAINT": "constraints.txt",
    }  # fmt: skip
    command = ["/bin/bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]]
    return subprocess.run(command, cwd=place.top, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def acted(place: Place, tmp_path_factory: pytest.TempPathFactory) -> Acted:
    """The action with all that it can do, installing analyze first."""
    scratch = tmp_path_factory.mktemp("runner")
    source = action(scratch / "action", str(ROOT))
    bare = interpreter(scratch / "bare", PACKAGES)
    done = _act(place, scratch, bare, source, {"model": "model", "base": "main", "baseline": "known.json"})
    return done, scratch


def test_the_action_runs_nothing_of_the_checkout(place: Place, acted: Acted) -> None:
    done, scratch = acted
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    assert place.sprung() == []
    assert "### analyze diff" in (scratch / "summary").read_text()


def test_the_action_writes_under_the_runners_own_folder(place: Place, acted: Acted) -> None:
    _, scratch = acted
    (made,) = (scratch / "temp").iterdir()
    outputs = read_outputs((scratch / "output").read_text())
    files = {"sarif": "dtypes.sarif", "junit": "dtypes.xml", "comment": "dtypes.md"}
    assert outputs == {"exit-code": "0", **{name: str(made / file) for name, file in files.items()}}
    assert all((made / file).is_file() for file in files.values()) and made.stat().st_mode & 0o77 == 0
    status = ["git", "-C", str(place.top), "status", "--porcelain", "--ignored"]
    assert subprocess.run(status, check=True, capture_output=True, text=True).stdout == ""


def test_no_text_of_the_checkout_is_a_command(acted: Acted) -> None:
    done, scratch = acted
    obeyed, shown = read_log(done.stdout)
    assert "pwned" in done.stdout and {line.split(" ")[0] for line in obeyed} == {"::notice"}
    assert any(line.startswith("analyze: model: ") for line in shown)
    assert "::error" not in (scratch / "output").read_text()


LINKS = {
    "model": {"model": "link"},
    "git": {"model": "inside"},
    "baseline": {"baseline": "file.json"},
    "report-dir": {"report-dir": "link"},
    "report-dir below a link": {"report-dir": "link/new"},
    "report-dir back from a link": {"report-dir": "link/../new"},
    "report": {"report-dir": "report"},
    "argument": {"args": "--recipe\nfile.json"},
    "argument with =": {"args": "--recipe=file.json"},
    "whole": {"report-dir": "{}/link"},
}


@pytest.fixture(scope="module")
def linked(place: Place, tmp_path_factory: pytest.TempPathFactory) -> Place:
    """The same with links that lead out of it, or into its .git."""
    top = tmp_path_factory.mktemp("linked") / "checkout"
    subprocess.run(["git", "clone", "-q", str(place.top), str(top)], check=True)
    victim = top.parent / "victim"
    (victim / "new").mkdir(parents=True)
    (victim / "config.json").write_bytes((top / "model" / "config.json").read_bytes())
    (victim / "known.json").write_bytes((top / "known.json").read_bytes())
    (top / "link").symlink_to(victim)
    (top / "file.json").symlink_to("../victim/known.json")
    (top / "inside").symlink_to(".git")
    (top / "report").mkdir()
    (top / "report" / "dtypes.md").symlink_to("../../victim/new/dtypes.md")
    git(top, "add", "-A")
    git(top, "commit", "-q", "-m", "links")
    return Place(top, place.marks, place.python)


@pytest.mark.parametrize("which", LINKS)
def test_a_link_of_the_checkout_is_refused_in_one_line(linked: Place, which: str, tmp_path: Path) -> None:
    inputs = {name: value.format(linked.top) for name, value in LINKS[which].items()}
    before = sorted(linked.top.parent.rglob("victim/**/*"))
    done = _act(linked, tmp_path, linked.python, ROOT, {"model": "model", **inputs})
    obeyed, shown = read_log(done.stdout)
    said = [line for line in shown if line]
    assert (done.returncode, obeyed, len(said)) == (2, [], 1) and said[0].startswith("analyze: "), done.stdout
    assert ("leads out" in said[0] or "holds or passes a link" in said[0]) and read_outputs(
        (tmp_path / "output").read_text()
    ) == {"exit-code": "2"}
    assert sorted(linked.top.parent.rglob("victim/**/*")) == before and linked.sprung() == []


def test_a_link_inside_and_a_place_elsewhere_are_the_workflows_own(linked: Place, tmp_path: Path) -> None:
    command = [sys.executable, "-I", str(ROOT / "integrations" / "links.py"), str(linked.top)]
    (linked.top / "near").symlink_to("model")
    victim = str(linked.top.parent / "victim")
    for report, *read in (
        ["new", "near", "--seed=1", "=" + 300 * "x"],
        [str(tmp_path), victim],
        [victim, "../victim", "absent"],
    ):
        assert subprocess.run([*command, report, *read], check=False).returncode == 0


@pytest.mark.parametrize("inputs", [{}, {"model": "model", "python": "no-such-python"}])
def test_an_action_that_cannot_begin_is_two(place: Place, inputs: dict[str, str], tmp_path: Path) -> None:
    done = _act(place, tmp_path, place.python, ROOT, inputs)
    assert done.returncode == 2 and "analyze: the" in done.stdout and read_log(done.stdout)[0] == []
    assert read_outputs((tmp_path / "output").read_text()) == {"exit-code": "2"} and place.sprung() == []


def test_an_action_that_cannot_install_is_two(place: Place, tmp_path: Path) -> None:
    done = _act(place, tmp_path, interpreter(tmp_path / "bare"), ROOT, {"model": "model"})
    assert done.returncode == 2 and "analyze: it could not be installed into /" in done.stdout, done.stdout
    assert read_log(done.stdout)[0] == [] and place.sprung() == []


def test_a_model_whose_name_looks_like_an_option_is_a_model(place: Place, tmp_path: Path) -> None:
    done = _act(place, tmp_path, place.python, ROOT, {"model": "--help"})
    assert done.returncode == 2 and "--help" in done.stdout and "Usage" not in done.stdout, done.stdout


def test_an_isolated_command_imports_nothing_that_variables_name(place: Place, tmp_path: Path) -> None:
    command = [str(place.python), "-I", "-m", "analyzer", "trace", "model", "--out", str(tmp_path / "graph.pdf")]
    environment = {**os.environ, "PYTHONPATH": f"{place.top}:."}
    done = subprocess.run(command, cwd=place.top, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and (tmp_path / "graph.pdf").is_file(), done.stderr
    assert place.sprung() == []


def test_a_command_imports_no_package_from_the_current_folder(place: Place, tmp_path: Path) -> None:
    """Python itself imports more from there with `-m` or with an empty entry of PYTHONPATH; see docs/check.md."""
    top = tmp_path / "checkout"
    hostile(top, tmp_path / "marks")
    for name in ("analyzer", *LIBRARY):
        (top / "model" / f"{name}.py").unlink()
    command = [str(place.python), "-m", "analyzer", "trace", ".", "--out", str(tmp_path / "graph.pdf")]
    environment = {**os.environ, "PYTHONPATH": ":"}
    done = subprocess.run(command, cwd=top / "model", env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and (tmp_path / "graph.pdf").is_file(), done.stderr
    assert list((tmp_path / "marks").iterdir()) == []
