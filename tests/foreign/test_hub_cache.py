"""Hub ids in the local cache: the real huggingface_hub finds the same, and its parser takes the command."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import huggingface_hub
import pytest

from analyzer.errors import AnalyzerError
from analyzer.foreign.hub_cache import HubId, cached, caches, commits, read_id, refs, repository_of, snapshot
from analyzer.foreign.model_place import located
from tests.hub_caches import MAIN, OTHER, cache, store

posix = pytest.mark.skipif(sys.platform == "win32", reason="quotes of a POSIX shell")


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return cache(tmp_path / "home", monkeypatch)


@pytest.mark.parametrize(
    "variables",
    [
        {}, {"HF_HOME": "{tmp}/h"}, {"HF_HUB_CACHE": "{tmp}/c"}, {"HUGGINGFACE_HUB_CACHE": "{tmp}/old"},
        {"XDG_CACHE_HOME": "{tmp}/x"}, {"HF_HOME": "~/h"}, {"HF_HUB_CACHE": "$TMPPLACE/c"},
        {"HF_HOME": "{tmp}/h", "HF_HUB_CACHE": "{tmp}/c", "HUGGINGFACE_HUB_CACHE": "{tmp}/old"},
    ],
)  # fmt: skip
def test_the_cache_is_where_huggingface_hub_has_it(
    variables: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import runpy

    for name in ("HF_HOME", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "XDG_CACHE_HOME", "TRANSFORMERS_CACHE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TMPPLACE", str(tmp_path))
    for name, value in variables.items():
        monkeypatch.setenv(name, value.format(tmp=tmp_path))
    import os

    real = runpy.run_path(str(Path(huggingface_hub.__file__).parent / "constants.py"))["HF_HUB_CACHE"]
    assert caches(os.environ) == (Path(real),)


def test_a_revision_is_found_as_huggingface_hub_finds_it(hub: Path) -> None:
    store(hub, "org/name", {"config.json": "{}"})
    store(hub, "org/name", {"config.json": '{"a": 1}'}, OTHER, "refs/pr/1".removeprefix("refs/"))
    for revision in ("main", MAIN, OTHER, "pr/1"):
        real = huggingface_hub.try_to_load_from_cache("org/name", "config.json", cache_dir=hub, revision=revision)
        assert isinstance(real, str)
        assert cached(HubId("org/name", revision)) == Path(real).parent
    assert cached(HubId("org/name")) == hub / "models--org--name" / "snapshots" / MAIN
    assert cached(HubId("org/name", "bbbbbb")) == hub / "models--org--name" / "snapshots" / OTHER
    assert cached(HubId("org/name", "v9")) is None and cached(HubId("org/other")) is None
    assert refs(hub / "models--org--name") == {"main": MAIN, "pr/1": OTHER}
    assert commits(hub / "models--org--name") == [MAIN, OTHER]


def test_without_a_main_one_snapshot_is_meant_and_of_two_none(hub: Path) -> None:
    store(hub, "org/name", {"config.json": "{}"}, ref="")
    assert cached(HubId("org/name")) == hub / "models--org--name" / "snapshots" / MAIN
    store(hub, "org/name", {"config.json": "{}"}, OTHER, "")
    with pytest.raises(AnalyzerError, match=r"2 snapshots and no main.*org/name@aaaaaaaa"):
        cached(HubId("org/name"))
    assert located(Path("org/name@aaaaaaaa")).name == MAIN  # the hint, as it is told


@pytest.mark.parametrize("ref", ["../../../secret", "/etc/passwd", "a b"])
def test_a_ref_leads_nowhere_else(ref: str, hub: Path, tmp_path: Path) -> None:
    place = store(hub, "org/name", {"config.json": "{}"}, ref="").parents[1]
    (tmp_path / "secret").mkdir()
    (place / "refs").mkdir()
    (place / "refs" / "main").write_text(ref)
    assert snapshot(place, "main") is None


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("org/name", ("org/name", "")), ("gpt2", ("gpt2", "")), ("org/name@v1.0", ("org/name", "v1.0")),
        ("models--org--name", ("org/name", "")), ("models--gpt2", ("gpt2", "")),
        ("https://huggingface.co/org/name", ("org/name", "")), ("https:/hf.co/org/name/", ("org/name", "")),
        ("https:/huggingface.co/org/name/tree/refs/pr/2", ("org/name", "refs/pr/2")),
        ("hf://org/name", ("org/name", "")),
        ("/org/name", None), ("./name", None), ("../name", None), ("a/b/c", None), ("a b/c", None), ("-x/y", None),
        ("x" * 200, None), ("a..b", None), ("a--b/c", None), ("", None), ("örg/näme", None),
    ],
)  # fmt: skip
def test_what_is_an_id(text: str, found: tuple[str, str] | None) -> None:
    got = read_id(text)
    assert (got and (got.name, got.revision)) == found


@posix
def test_the_command_is_one_that_the_installed_hub_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its own parser reads the line; what it would download is what stands in it, and nothing is fetched."""
    wanted = HubId("openbmb/MiniCPM-V-2", "v1")
    program, *words = shlex.split(wanted.download())
    asked = _asked_by(program, words, monkeypatch)
    assert asked == {
        "repo_id": "openbmb/MiniCPM-V-2", "revision": "v1", "allow_patterns": ["*.json", "*.py", "*.txt", "*.model"],
        "ignore_patterns": None,
    }  # fmt: skip


def _asked_by(program: str, words: list[str], monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    """What the installed command asks `snapshot_download` for."""
    asked: dict[str, object] = {}

    def snapshot_download(**given: object) -> str:
        asked.update({key: given[key] for key in ("repo_id", "revision", "allow_patterns", "ignore_patterns")})
        return "there"

    monkeypatch.setattr(sys, "argv", [program, *words])
    if tuple(map(int, huggingface_hub.__version__.split(".")[:2])) >= (1, 0):
        from huggingface_hub.cli import download, hf

        assert program == "hf"
        monkeypatch.setattr(download, "snapshot_download", snapshot_download)
        with pytest.raises(SystemExit) as ended:
            sys.exit(hf.main())
    else:
        from huggingface_hub.commands import download, huggingface_cli  # type: ignore[import-not-found,no-redef]

        monkeypatch.setattr(download, "snapshot_download", snapshot_download)
        with pytest.raises(SystemExit) as ended:
            sys.exit(huggingface_cli.main())
    assert not ended.value.code
    return asked


def test_a_folder_of_that_name_wins_over_the_cache(hub: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = store(hub, "org/name", {"config.json": "{}"})
    monkeypatch.chdir(tmp_path)
    assert located(Path("org/name")) == kept
    Path("org/name").mkdir(parents=True)
    assert located(Path("org/name")) == Path("org/name")


def test_folders_of_a_cache_are_their_snapshots(hub: Path) -> None:
    kept = store(hub, "org/name", {"config.json": "{}"})
    place = hub / "models--org--name"
    assert [located(one) for one in (place, place / "snapshots", kept, Path("models--org--name"))] == [kept] * 4
    assert repository_of(kept / "deep") == HubId("org/name", MAIN) and repository_of(hub) is None


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("org/none", ["org/none, nor is it in the Hugging Face cache, {hub}", "download org/none '*.json' '*.py'"]),
        ("org/none@v1", ["no such folder: org/none@v1", "--revision v1"]),
        ("org/part", ["has no config.json: the cache has a part of org/part only", "download org/part", MAIN]),
        ("models--org--none", ["models--org--none, nor is it in the Hugging Face cache", "download org/none"]),
        ("nothing", ["no such folder: nothing", "ORG/NAME"]),
        ("a/b/c", ["no such folder: a/b/c", "never fetched"]),
        ("x" * 5000, ["no such folder"]),
    ],
)
@posix
def test_what_is_not_there_is_told_with_the_command(given: str, words: list[str], hub: Path) -> None:
    store(hub, "org/part", {"tokenizer.json": "{}"})
    with pytest.raises(AnalyzerError) as caught:
        located(Path(given))
    assert all(word.format(hub=hub) in str(caught.value) for word in words), str(caught.value)
