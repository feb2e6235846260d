"""What a request opens: a stranger's adapter names no folder of the person's, and no pipe is waited for."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from analyzer.cli import main
from analyzer.worker.protocol import TraceRequest
from analyzer.worker.readable import readable


def _folder(place: Path) -> Path:
    place.mkdir(parents=True)
    (place / "config.json").write_text("{}")
    return place


def _adapter(place: Path, base: object) -> Path:
    place.mkdir(parents=True, exist_ok=True)
    (place / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": base}))
    return place


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with a home above it."""
    place = tmp_path / "home" / "work" / "here"
    place.mkdir(parents=True)
    monkeypatch.chdir(place)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return place


def _opened(adapter: Path) -> set[str]:
    return set(readable([TraceRequest(str(adapter))])) - {str(adapter)}


SNAPSHOT = "cache/hub/models--a--b/snapshots/f00"


@pytest.mark.parametrize("place", ["work/here/deep/base", "models/base", "models/lora/base", SNAPSHOT])
def test_a_base_that_lies_near_is_opened(place: str, here: Path, tmp_path: Path) -> None:
    base = _folder(tmp_path / "home" / place)
    adapter = tmp_path / "home" / "models" / "lora"
    assert _opened(_adapter(adapter, str(base))) == {str(base)}
    assert _opened(_adapter(adapter, os.path.relpath(base, here))) == {str(base)}


@pytest.mark.parametrize(
    "place", ["work/secret", "models/.docker", "work/here/.git/base", "other/snapshots/f00", "elsewhere"]
)
def test_a_base_that_lies_elsewhere_is_not(place: str, here: Path, tmp_path: Path) -> None:
    base = _folder(tmp_path / "home" / place)
    adapter = _adapter(tmp_path / "home" / "models" / "lora", str(base))
    assert _opened(adapter) == set()
    _adapter(adapter, os.path.relpath(base, adapter))
    assert _opened(adapter) == set()
    (adapter / "base").symlink_to(base)
    assert _opened(_adapter(adapter, "base")) == set()


@pytest.mark.parametrize("base", ["{home}", "..", "/", "a\0b", "x" * 5000, 7, ["a"], {}, "", "/root\n"])
def test_homes_and_odd_names_open_nothing(base: object, here: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    (home / "config.json").write_text("{}")
    assert _opened(_adapter(home / "lora", base.format(home=home) if isinstance(base, str) else base)) == set()


def test_the_message_says_how_to_name_it(here: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    secret = _folder(tmp_path / "home" / "work" / "secret")
    _adapter(tmp_path / "home" / "models" / "lora", str(secret))
    adapter = Path("..", "..", "models", "lora")  # short: a line has 300 characters
    assert main(["trace", str(adapter)]) == 2
    err = capsys.readouterr().err
    assert f"{secret}, lies elsewhere" in err and f"--adapter {adapter}" in err and err.count("\n") == 1


@pytest.mark.skipif(sys.platform == "win32", reason="pipes in folders are of POSIX")
def test_settings_that_are_a_pipe_are_not_waited_for(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    os.mkfifo(here / "adapter_config.json")
    assert main(["trace", str(here)]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_a_recipe_of_one_endless_word_is_looked_at_at_once(tmp_path: Path) -> None:
    (tmp_path / "ds.json").write_text("{}")
    (tmp_path / "r.yaml").write_text(f"a: {'a' * 900_000}\ndeepspeed: ds.json\n")
    found = readable([TraceRequest(str(tmp_path), recipes=(str(tmp_path / "r.yaml"),))])
    assert str(tmp_path / "ds.json") in found
