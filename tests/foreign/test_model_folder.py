"""A model's folder is looked at first: a pipe, a device or a giant among what libraries open is refused at once."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from analyzer.errors import AnalyzerError
from analyzer.foreign import check_folder

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="pipes in folders are of POSIX")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "unet").mkdir()
    (tmp_path / "model.safetensors").write_bytes(b"")
    return tmp_path


@pytest.mark.parametrize("name", ["tokenizer.json", "config.py", "unet/config.json", "unet/merges.txt", "model.pt"])
def test_a_pipe_or_a_device_is_refused(name: str, folder: Path) -> None:
    check_folder(folder)
    os.mkfifo(folder / name)
    with pytest.raises(AnalyzerError, match="is no regular file"):
        check_folder(folder)
    (folder / name).unlink()
    (folder / name).symlink_to("/dev/zero")
    with pytest.raises(AnalyzerError, match="is no regular file"):
        check_folder(folder)


def test_a_giant_is_refused_but_for_weights(folder: Path) -> None:
    for name in ("model.safetensors", "vocab.json"):
        with (folder / name).open("wb") as file:
            file.truncate(1 << 34)
        if name.startswith("vocab"):
            with pytest.raises(AnalyzerError, match=r"vocab\.json is too large"):
                check_folder(folder)
        else:
            check_folder(folder)


@pytest.mark.parametrize("name", ["generation_config.json", "unet/config.json"])
def test_settings_that_a_library_reads_by_itself_are_plain(name: str, folder: Path) -> None:
    (folder / name).write_text("[" * 100_000)
    with pytest.raises(AnalyzerError, match="nested more than"):
        check_folder(folder)


def test_what_nobody_opens_is_left_alone(folder: Path) -> None:
    (folder / "results.json").write_text("{broken")
    os.mkfifo(folder / "README.md")
    (folder / ".git").mkdir()
    os.mkfifo(folder / ".git" / "config.json")
    (folder / "gone.json").symlink_to(folder / "nowhere")
    check_folder(folder)


def test_links_out_of_the_folder_are_followed_to_a_cache_alone(tmp_path: Path) -> None:
    snapshot = tmp_path / "models--a--b" / "snapshots" / "1"
    blobs = tmp_path / "models--a--b" / "blobs"
    snapshot.mkdir(parents=True)
    blobs.mkdir()
    (blobs / "abc").write_text("{}")
    (snapshot / "config.json").symlink_to("../../blobs/abc")
    (snapshot / "inner").mkdir()
    (snapshot / "inner" / "config.json").symlink_to("../config.json")
    check_folder(snapshot)
    (tmp_path / "secret").write_text("x = 1")
    for name in ("generation_config.json", "model.py"):
        (snapshot / name).symlink_to(tmp_path / "secret")
        with pytest.raises(AnalyzerError, match="a link may not lead out of the model folder"):
            check_folder(snapshot)
        (snapshot / name).unlink()
