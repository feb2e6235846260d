"""The four models with the installed release; the page says what was kept of all, and the ranges that are promised."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
import transformers
from packaging.version import Version
from transformers import dynamic_module_utils

from analyzer.foreign import parse_toml
from tests.releases import page
from tests.releases.environments import newest_patches
from tests.releases.models import MODELS
from tests.releases.one import row

ROOT = Path(__file__).parents[2]
INSTALLED = Version(transformers.__version__).release[:2]
ROWS = page.kept()
PINNED = f"torch=={torch.__version__.partition('+')[0]}" in (ROOT / "constraints.txt").read_text(encoding="utf-8")
"""Whether torch is the one of the rows: others make other operations of a call."""


@pytest.mark.parametrize("model", MODELS)
def test_a_model_is_traced_as_the_installed_release_runs_it(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dynamic_module_utils, "HF_MODULES_CACHE", str(tmp_path))
    found = row(model)
    assert (found.stop, found.wrong) == ("", ())
    assert bool(found.found) == (model == "the sample")
    same = [old for name, rows in ROWS.items() for old in rows if Version(name).release[:2] == INSTALLED]
    for old in same:
        if old["model"] == model:
            assert (list(found.found), found.real) == (old["found"], old["real"])
            assert found.ops == old["ops"] or not PINNED


def test_every_minor_release_is_there_and_equal() -> None:
    minors = [Version(name).release[:2] for name in ROWS]
    assert minors[0] == (4, 44) and minors[-1] >= (5, 24)
    assert {minor for minor in minors if minor[0] == 4} == {(4, number) for number in range(44, 58)}
    assert {minor for minor in minors if minor[0] == 5} == {(5, number) for number in range(minors[-1][1] + 1)}
    unequal = [f"{one['release']} {one['model']}" for rows in ROWS.values() for one in rows if not page.is_equal(one)]
    assert unequal == []
    assert all([one["model"] for one in rows] == list(MODELS) for rows in ROWS.values())


def test_the_page_is_that_of_the_rows() -> None:
    text = page.PAGE.read_text(encoding="utf-8")
    assert text.partition(page.BEGIN)[2].partition(page.END)[0].strip() == page.table(ROWS)


def test_a_difference_shows() -> None:
    odd = {**ROWS[next(iter(ROWS))][0], "wrong": ["an operation"]}
    assert "0 of 4" in page.table({"4.44.2": [odd]})
    assert "not traced: words" in page.table({"4.44.2": [{**odd, "stop": "words"}]})


def test_the_newest_patch_stands_for_a_release() -> None:
    assert newest_patches(["4.43.0", "4.44.1", "4.44.2", "5.0.0", "5.0.0rc1"]) == ["4.44.2", "5.0.0"]


def test_the_page_promises_what_the_package_asks_for() -> None:
    file = ROOT / "pyproject.toml"
    project = parse_toml(file.read_text(encoding="utf-8"), file)["project"]
    assert isinstance(project, dict)
    asked = dict(re.findall(r"^([\w-]+)>=([\d.]+)", "\n".join(project["dependencies"]), re.MULTILINE))
    asked["Python"] = project["requires-python"].removeprefix(">=")
    told = re.findall(r"^\| ([\w-]+) \| ([\d.]+) ", page.PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert {name: version for name, version in told if name in asked} == asked
