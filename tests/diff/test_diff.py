"""`analyze diff` on real code: revisions, plans, saved reports; each difference is said and none invented."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from analyzer import cli
from tests.check.folders import PLANTED, edit, plant, renumber, sample

TRUSTED = "--trust-remote-code"


def _git(folder: Path, *args: str) -> str:
    who = ["-c", "user.name=a", "-c", "user.email=a@b"]
    return subprocess.run(["git", "-C", str(folder), *who, *args], check=True, capture_output=True, text=True).stdout


def _commit(folder: Path, words: str) -> None:
    _git(folder, "add", "-A")
    _git(folder, "commit", "-q", "-m", words)


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with three revisions of the sample: as it is, with lines moved, with a second fault."""
    top = tmp_path_factory.mktemp("repository")
    _git(top, "init", "-q")
    folder = sample(top / "models" / "m")
    _commit(top, "one")
    edit(folder, "import math\n", "# one\n\n\nimport math\n")
    _commit(top, "two")
    edit(plant(folder), "self.ln_post(out.permute", "self.ln_post(out.float().to(x.dtype).permute")
    _commit(top, "three")
    return top


def _diff(*args: str, code: int, tmp_path: Path) -> Any:
    out = tmp_path / "diff.json"
    assert cli.main(["diff", *args, "--out", str(out)]) == code
    return json.loads(out.read_text())


def test_moved_lines_are_no_difference_and_the_checkout_is_not_touched(repository: Path, tmp_path: Path) -> None:
    (repository / "models" / "m" / "new.txt").write_text("not committed")
    before = _git(repository, "status", "--porcelain"), _git(repository, "worktree", "list")
    data = _diff(str(repository / "models" / "m"), TRUSTED, "--rev", "HEAD~2..HEAD~1", code=0, tmp_path=tmp_path)
    assert data["empty"] and data["stages"][0]["findings"] == {"new": [], "gone": []}
    assert before == (_git(repository, "status", "--porcelain"), _git(repository, "worktree", "list"))


def test_a_planted_fault_is_new_and_what_came_with_it_is_said(repository: Path, tmp_path: Path) -> None:
    data = _diff(str(repository / "models" / "m"), TRUSTED, "--rev", "HEAD~1", code=1, tmp_path=tmp_path)
    (stage,) = data["stages"]
    assert [one["source"] for one in stage["findings"]["new"]] == [PLANTED] and not stage["findings"]["gone"]
    casts = {(one["module"], one["what"], one["count"]) for one in stage["casts"]["new"]}
    assert casts == {("resampler", "cast to float32", 2), ("resampler", "cast to bfloat16", 2)}
    assert not stage["edges"] and not stage["tensors"] and not stage["casts"]["gone"] and not stage["modules"]["new"]


def test_two_plans_differ_in_the_tensors_edges_and_memory_that_the_plan_changes(tmp_path: Path) -> None:
    folder = sample(tmp_path / "m")
    out = tmp_path / "b.json"
    assert cli.main(["trace", str(folder), TRUSTED, "--set", "resampler=bf16", "--out", str(out)]) == 0
    data = _diff(str(folder), str(out), TRUSTED, code=1, tmp_path=tmp_path)
    (stage,) = data["stages"]
    assert [one["code"] for one in stage["findings"]["gone"]] == ["DT101"] and not stage["findings"]["new"]
    (tensor,) = stage["tensors"]
    assert (tensor["name"], tensor["before"], tensor["after"]) == ("resampler.pos_embed", "float32", "bfloat16")
    assert stage["memory"]["difference"] == tensor["bytes"] == -2 * 16 * 256
    assert {(one["before"], one["after"]) for one in stage["edges"]} == {("float32", "bfloat16")}
    assert not any(stage[name][side] for name in ("modules", "casts", "operations") for side in ("gone", "new"))


def test_two_saved_reports_need_no_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    saved = []
    for name, changed in (("a", lambda folder: folder), ("b", renumber)):
        folder = changed(sample(tmp_path / name))
        saved.append(str(tmp_path / f"{name}.json"))
        cli.main(["trace", str(folder), TRUSTED, "--out", saved[-1]])
    for folder in (tmp_path / "a", tmp_path / "b"):
        folder.rename(folder.with_name(f"{folder.name} moved"))
    capsys.readouterr()
    data = _diff(*saved, code=1, tmp_path=tmp_path)
    (stage,) = data["stages"]
    assert [one["what"] for one in stage["operations"]["new"]] == ["mul.Tensor"]
    assert stage["findings"] == {"new": [], "gone": []} and not stage["edges"]
    assert "operations:\n  + resampler: mul.Tensor x 2\n" in capsys.readouterr().out
    assert cli.main(["diff", *saved, "--to", "bf16", "--stage", "eval"]) == 2
    assert "--stage changes nothing: both sides are saved reports" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["{m}"], "is compared with nothing"),
        (["{m}", "{m}", "{m}"], "3 targets"),
        (["{m}", "{m}", "--rev", "a..b"], "leave B out"),
        (["{m}", "--rev", "..b"], "is no pair of revisions"),
        (["{m}", "--rev", "--output=x"], "is no pair of revisions"),
        (["{m}", "--rev", "a...b"], "is no pair of revisions"),
        (["{m}", "--rev", "nowhere..HEAD"], "is it a revision"),
        (["{m}", "{m}/none"], "no such folder"),
        (["{m}", "--plan-b", "{m}/none"], "no such file"),
        (["{m}", "{m}/config.json"], "is no report"),
        (["{m}/config.json", "{m}", "--a", "to=bf16"], "is a saved report"),
        (["{m}", "--b", "to"], "--a/--b 'to' is not NAME=VALUE"),
        (["{m}", "{m}", "--out", "{m}/a.bmp"], "unknown output format"),
    ],
)
def test_refusals_are_one_line(
    args: list[str], words: str, repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = repository / "models" / "m"
    assert cli.main(["diff", *(arg.format(m=model) for arg in args)]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1 and words in err


def test_a_folder_that_git_does_not_know(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["diff", str(tmp_path), "--rev", "a..b"]) == 2
    assert "not a git repository" in capsys.readouterr().err
