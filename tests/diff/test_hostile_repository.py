"""A repository by a stranger: nothing that its config, hooks or trees name runs or is written elsewhere."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import zlib
from pathlib import Path

import pytest

from analyzer import cli
from analyzer.cli import git_blobs
from analyzer.cli.git_blobs import _started, extract
from analyzer.errors import AnalyzerError
from tests.check.folders import sample
from tests.diff.test_diff import TRUSTED, _commit, _diff, _git

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the commands are of a POSIX shell")


@pytest.fixture
def top(tmp_path: Path) -> Path:
    folder = tmp_path / "top"
    folder.mkdir()
    _git(folder, "init", "-q", "-b", "main")
    return folder


@pytest.fixture
def marker(tmp_path: Path) -> Path:
    return tmp_path / "marker"


def _with_commands(top: Path, marker: Path) -> None:
    """Every setting of a repository that starts a command on reading; each would leave the marker."""
    run = top.parent / "evil.sh"
    run.write_text(f'#!/bin/sh\necho "$0 $*" >> {marker}\ncat\n')
    run.chmod(0o755)
    (top / ".git" / "info").mkdir(exist_ok=True)
    (top / ".git" / "info" / "attributes").write_text("* filter=evil diff=evil\n")
    for hook in ("post-checkout", "post-index-change", "reference-transaction", "fsmonitor-watchman"):
        (top / ".git" / "hooks").mkdir(exist_ok=True)
        (top / ".git" / "hooks" / hook).symlink_to(run)
    for name in (
        "filter.evil.smudge", "filter.evil.process", "diff.evil.textconv", "diff.evil.command", "core.fsmonitor",
        "core.pager", "core.alternateRefsCommand", "core.sshCommand", "tar.tar.command", "core.editor",
    ):  # fmt: skip
        _git(top, "config", name, str(run))


def test_no_command_of_the_repository_runs(top: Path, marker: Path, tmp_path: Path) -> None:
    folder = sample(top / "m")
    (top / ".gitattributes").write_text("* filter=evil diff=evil\n")
    _commit(top, "one")
    _with_commands(top, marker)
    subprocess.run(["git", "-C", str(top), "archive", "HEAD"], capture_output=True, check=False)
    assert marker.exists()  # they would run
    marker.unlink()
    data = _diff(str(folder), TRUSTED, "--rev", "HEAD..main", code=0, tmp_path=tmp_path)
    assert data["empty"] and not marker.exists()


def test_what_a_clone_lacks_is_not_fetched(top: Path, marker: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (top / "config.json").write_text("{}")
    _commit(top, "one")
    oid = _git(top, "rev-parse", "HEAD:config.json").strip()
    (top / ".git" / "objects" / oid[:2] / oid[2:]).unlink()
    for name, value in {
        "core.repositoryFormatVersion": "1", "extensions.partialClone": "origin", "protocol.ext.allow": "always",
        "remote.origin.url": f"ext::sh -c touch% {marker}", "remote.origin.promisor": "true",
    }.items():  # fmt: skip
        _git(top, "config", name, value)
    assert cli.main(["diff", str(top), "--rev", "HEAD..main"]) == 2
    err = capsys.readouterr().err
    assert "config.json" in err and err.count("\n") == 1 and not marker.exists()


@pytest.mark.parametrize("settings", ["bare = false\n\tworktree = .", "bare = false\n\tworktree = ..", "bare = true"])
def test_a_model_that_is_itself_a_git_directory(top: Path, settings: str, capsys: pytest.CaptureFixture[str]) -> None:
    model = top / "m"
    (top / "a").write_text("a")
    _commit(top, "one")
    _git(top, "clone", "-q", "--bare", str(top), str(model))
    (model / "config").write_text(f"[core]\n\trepositoryformatversion = 0\n\t{settings}\n")
    assert cli.main(["diff", str(model), "--rev", "HEAD..main"]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1 and ("bare repository" in err or "is not a plain git checkout" in err)


def test_a_repository_that_says_its_files_lie_elsewhere(top: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (top / "config.json").write_text("{}")
    _commit(top, "one")
    _git(top, "config", "core.worktree", str(top.parent))
    assert cli.main(["diff", str(top), "--rev", "HEAD..main"]) == 2
    assert "is not a plain git checkout" in capsys.readouterr().err


def _tree(top: Path, name: bytes) -> str:
    """A commit whose tree holds a file of any name, as git itself would not write it."""
    content = b"100644 " + name + b"\0" + bytes.fromhex(_object(top, b"blob", b"evil"))
    tree = _object(top, b"tree", content)
    return _object(top, b"commit", f"tree {tree}\nauthor a <a@b> 1 +0000\ncommitter a <a@b> 1 +0000\n\nx\n".encode())


def _object(top: Path, kind: bytes, content: bytes) -> str:
    data = kind + b" %d\0" % len(content) + content
    name = hashlib.sha1(data).hexdigest()
    place = top / ".git" / "objects" / name[:2] / name[2:]
    place.parent.mkdir(exist_ok=True)
    place.write_bytes(zlib.compress(data))
    return name


ODD = [b"..", b"../out", b"/abs", b".git", b".GIT/config", b"a/../../out", b".git. ", b"a//b"]


@pytest.mark.parametrize("name", ODD)
def test_odd_names_are_refused(top: Path, name: bytes, tmp_path: Path) -> None:
    commit = _tree(top, name)
    root = tmp_path / "a" / "root"
    root.mkdir(parents=True)
    before = {path for path in tmp_path.rglob("*") if ".git" not in path.parts}
    with pytest.raises(AnalyzerError, match="is no path of a file"):
        extract(top, commit, Path(), root)
    assert {path for path in tmp_path.rglob("*") if ".git" not in path.parts} == before and not list(root.iterdir())


def _of(top: Path, *entries: tuple[bytes, bytes, bytes]) -> str:
    """A tree of (mode, name, content): blobs, and trees by their names in hexadecimal."""
    rows = []
    for mode, name, content in entries:
        oid = content.decode() if mode == b"40000" else _object(top, b"blob", content)
        rows.append(mode + b" " + name + b"\0" + bytes.fromhex(oid))
    return _object(top, b"tree", b"".join(rows))


@pytest.mark.parametrize("twice", ["a link and a folder", "a file and a folder", "two files"])
def test_nothing_lies_below_a_link_and_no_name_stands_twice(top: Path, twice: str, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.mkdir()
    below = _of(top, (b"120000", b"evil", b"anything"), (b"100644", b"file", b"x"))
    first = {"a link and a folder": (b"120000", b"out", b"../victim")}.get(twice, (b"100644", b"out", b"x"))
    second = (b"100644", b"out", b"y") if twice == "two files" else (b"40000", b"out", below.encode())
    deep = _of(top, (b"40000", b"a", _of(top, first, second).encode()))
    commit = _object(top, b"commit", f"tree {deep}\nauthor a <a@b> 1 +0000\ncommitter a <a@b> 1 +0000\n\nx\n".encode())
    root = tmp_path / "root"
    root.mkdir()
    with pytest.raises(AnalyzerError, match="in the revision"):
        extract(top, commit, Path(), root)
    assert not list(victim.iterdir()) and not list(root.iterdir())


@pytest.mark.parametrize(("name", "target"), [(b"l", b"a\0b"), (b"l" * 300, b"x"), (b"l", b"x" * 5000)])
def test_a_link_that_cannot_be_made_is_one_line(top: Path, name: bytes, target: bytes, tmp_path: Path) -> None:
    deep = _of(top, (b"40000", b"a", _of(top, (b"120000", name, target)).encode()))
    commit = _object(top, b"commit", f"tree {deep}\nauthor a <a@b> 1 +0000\ncommitter a <a@b> 1 +0000\n\nx\n".encode())
    root = tmp_path / "root"
    root.mkdir()
    with pytest.raises(AnalyzerError, match="cannot be made"):
        extract(top, commit, Path(), root)


@pytest.mark.parametrize("target", ["/etc/passwd", "../out", "../../out", "b/../../out", "..", "l/../.."])
def test_links_that_lead_out_are_refused(top: Path, target: str, tmp_path: Path) -> None:
    (top / "l").symlink_to(target)
    _commit(top, "one")
    (tmp_path / "root").mkdir()
    with pytest.raises(AnalyzerError, match="no links out of it"):
        extract(top, "HEAD", Path(), tmp_path / "root")
    assert not list((tmp_path / "root").iterdir())


def test_an_honest_revision_comes_as_it_is(top: Path, tmp_path: Path) -> None:
    (top / "m" / "deep").mkdir(parents=True)
    large = bytes(range(256)) * 9000
    for name, data in {"a.json": b"{}\r\n", "deep/b.bin": large, "empty": b"", "ä b.py": b"x"}.items():
        (top / "m" / name).write_bytes(data)
    (top / "m" / "run.sh").write_text("#!/bin/sh\n")
    (top / "m" / "run.sh").chmod(0o755)
    (top / "m" / "deep" / "link").symlink_to("../a.json")
    (top / "m" / "outer").symlink_to("../other")
    (top / "other").write_text("not asked for")
    (top / ".gitattributes").write_text("* text eol=crlf\nempty export-ignore\n")
    _commit(top, "one")
    _git(top, "update-index", "--add", "--cacheinfo", f"160000,{'1' * 40},m/module")
    _git(top, "commit", "-q", "-m", "with a submodule")
    root = tmp_path / "root"
    root.mkdir()
    extract(top, "HEAD", Path("m"), root)
    files = {path.relative_to(root).as_posix() for path in root.rglob("*") if not path.is_dir()}
    assert files == {"m/a.json", "m/deep/b.bin", "m/empty", "m/ä b.py", "m/run.sh", "m/deep/link", "m/outer"}
    assert (root / "m" / "deep" / "b.bin").read_bytes() == large
    assert (root / "m" / "deep" / "link").resolve() == root / "m" / "a.json"
    extract(top, "HEAD", Path("nowhere"), root)  # it was not there yet
    assert {path.name for path in root.iterdir()} == {"m"}


def test_large_files_are_refused_with_a_line(top: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (top / "w.bin").write_bytes(bytes(2 << 20))
    _commit(top, "one")
    monkeypatch.setattr(git_blobs, "_LARGEST", 1 << 20)
    with pytest.raises(AnalyzerError, match=r"w\.bin of the revision has 2 MiB \(up to 1 MiB"):
        extract(top, "HEAD", Path(), tmp_path)


def test_git_that_does_not_end(top: Path) -> None:
    (top / ".git" / "config").unlink()
    os.mkfifo(top / ".git" / "config")
    with pytest.raises(AnalyzerError, match="did not end in 1 s"), _started(top, ["log"], seconds=1) as said:
        said.read()


def test_somebody_elses_repository_needs_a_word(
    top: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = sample(top / "m")
    _commit(top, "one")
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "config"))
    assert cli.main(["diff", str(folder), "--rev", "HEAD..mian"]) == 2
    err = capsys.readouterr().err
    assert "dubious ownership" in err and "safe.directory FOLDER" in err and err.count("\n") == 1
    (tmp_path / "config").write_text(f"[safe]\n\tdirectory = {top}\n")
    assert cli.main(["diff", str(folder), "--rev", "HEAD..mian"]) == 2
    assert "git rev-parse mian" in capsys.readouterr().err


def test_a_second_revision_that_is_mistyped_is_refused_before_anything_is_traced(
    top: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from analyzer import pipeline

    folder = sample(top / "m")
    _commit(top, "one")
    monkeypatch.setattr(pipeline, "worker", lambda *_: pytest.fail("a worker was started"))
    assert cli.main(["diff", str(folder), TRUSTED, "--rev", "HEAD..mian"]) == 2
    err = capsys.readouterr().err
    assert "is it a revision" in err and "mian" in err and "tracing" not in err
