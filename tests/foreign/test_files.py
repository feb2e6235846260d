"""What is no small, regular file is refused in one line, at once: nobody waits for a pipe."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

import pytest

from analyzer.check.baseline import Baseline
from analyzer.check.suppressions import configured
from analyzer.errors import AnalyzerError
from analyzer.foreign import read_small, read_small_text
from analyzer.plans import plan_file
from analyzer.plans.files import read_file

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="pipes in folders are of POSIX")
DEEP = 100_000


def test_a_file_is_read_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes("ä\r\nb\rc\n".encode())
    (tmp_path / "link").symlink_to("a")
    assert read_small(tmp_path / "a") == "ä\r\nb\rc\n".encode()
    assert read_small_text(tmp_path / "link") == (tmp_path / "a").read_text(encoding="utf-8") == "ä\nb\nc\n"


def test_other_things_are_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "link").symlink_to("fifo")
    os.mkfifo(tmp_path / "written")
    kept = os.open(tmp_path / "written", os.O_RDWR)
    listening = socket.socket(socket.AF_UNIX)
    folder = os.open(tmp_path, os.O_RDONLY)
    listening.bind(f"/proc/self/fd/{folder}/socket" if sys.platform == "linux" else str(tmp_path / "socket"))
    try:
        for place in (*(tmp_path / name for name in ("fifo", "link", "written", "socket", ".")), Path("/dev/zero")):
            with pytest.raises(AnalyzerError, match="is no regular file"):
                read_small(place)
    finally:
        listening.close()
        os.close(kept)
        os.close(folder)


@pytest.mark.parametrize(("name", "words"), [
    ("none", "cannot be read: No such file"), ("a\0b", "cannot be read: embedded null"), ("x" * 300, "name too long"),
    ("large", "too large to be read"), ("latin", "is it text in UTF-8"),
])  # fmt: skip
def test_what_cannot_be_read_is_one_line(name: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(b"x" * 1025)
    (tmp_path / "latin").write_bytes(b"\xe4")
    with pytest.raises(AnalyzerError) as caught:
        read_small_text(tmp_path / name, 1024)
    assert words.casefold() in str(caught.value).casefold()


def test_what_is_nested_without_end_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "deep").write_text("[" * DEEP)
    (tmp_path / "pyproject.toml").write_text("a = " + "[" * DEEP)
    (tmp_path / "object").write_text('{"a":' * DEEP)
    for read in (
        lambda: Baseline.read(tmp_path / "deep"), lambda: configured([tmp_path], {}),
        lambda: plan_file.load(tmp_path / "deep"), lambda: read_file(tmp_path / "deep"),
        lambda: read_file(tmp_path / "object"),
    ):  # fmt: skip
        with pytest.raises(AnalyzerError, match=r"cannot be read: it is nested|maximum recursion depth|broken"):
            read()


def test_a_baseline_and_a_plan_that_are_pipes(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    for read in (Baseline.read, plan_file.load):
        with pytest.raises(AnalyzerError, match="is no regular file"):
            read(tmp_path / "fifo")
