"""What a stranger's folder tries with names, commits, environments and source that is only read."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from analyzer.cli.project import beside, project_python
from analyzer.errors import AnalyzerError
from analyzer.foreign.hub_cache import HubId, commits, read_id, repository_of, snapshot
from analyzer.foreign.model_place import located
from analyzer.foreign.other_formats import told_of_file, told_of_folder
from analyzer.loaders.files.import_guards import is_guarded
from analyzer.loaders.files.needed_imports import needed
from analyzer.loaders.files.own_files import own_module
from analyzer.loaders.remote_code.importing import find_file
from analyzer.loaders.remote_code.origin import Origin
from analyzer.plans.stub_names import parse_stubs
from analyzer.worker.named_models import named_models
from analyzer.worker.protocol import TraceRequest
from analyzer.worker.retyped import retyped

posix = pytest.mark.skipif(os.name == "nt", reason="names, shells and owners of POSIX")
with_git = pytest.mark.skipif(not shutil.which("git") or os.name == "nt", reason="needs git")
EVIL = "x;touch pwned;#"


def _words(error: AnalyzerError) -> list[list[str]]:
    """Each command that a hint tells, as a shell takes it apart: a command of the folder's would stand alone."""
    line = error.hint.partition(": ")[2] or error.hint
    lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    words, found = list(lexer), [[]]
    for word in words:
        found = [*found, []] if set(word) <= set(";&|()") else [*found[:-1], [*found[-1], word]]
    return found


@posix
def test_a_commit_is_a_name_before_it_stands_in_a_command(tmp_path: Path) -> None:
    place = tmp_path / "models--org--name" / "snapshots" / EVIL
    place.mkdir(parents=True)
    assert repository_of(place) is None and commits(place.parents[1]) == []
    assert repository_of(place.with_name("f00d") / "deep") == HubId("org/name", "f00d")
    for given in (place.parent, place.parents[1]):
        with pytest.raises(AnalyzerError) as told:
            located(given)
        assert "pwned" not in told.value.hint
    assert "pwned" not in told_of_folder(place).hint


@posix
@pytest.mark.parametrize("file", ["x'; touch pwned; '.json", "a b.json", "$(touch pwned).py", "'"])
def test_a_file_is_one_word_of_a_command(file: str) -> None:
    assert shlex.split(HubId("org/name").download(file))[3:] == [file]


@pytest.mark.parametrize("ref", ["..", ".", "-x"])
def test_a_ref_is_a_commit_and_no_way_up(ref: str, tmp_path: Path) -> None:
    place = tmp_path / "models--org--name"
    (place / "snapshots" / "f00d").mkdir(parents=True)
    (place / "refs").mkdir()
    (place / "refs" / "main").write_text(ref)
    assert snapshot(place) == place / "snapshots" / "f00d"


@posix
def test_a_name_with_a_dash_is_no_option_of_what_is_printed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    inner = tmp_path / "--python=evil"
    inner.mkdir()
    (inner / "config.json").write_text('{"model_type": "llama"}')
    assert _words(told_of_folder(Path()))[0] == ["analyze", "trace", "./--python=evil"]
    told = told_of_file(Path("-x.zip"))
    assert told is not None and _words(told)[0] == ["python", "-m", "zipfile", "-e", "./-x.zip", "./-x"]
    assert retyped(TraceRequest("-m"))[2] == "./-m"


def _repository(root: Path) -> None:
    root.mkdir(parents=True, exist_ok=True)
    subprocess.run(["git", "init", "-q"], cwd=root, check=True)


def _environment(place: Path) -> None:
    """One that could trace, as far as its names say."""
    packages = place / "lib" / "python3.11" / "site-packages"
    for name in ("torch", "torch-2.6.0.dist-info", "transformers", "transformers-4.44.2.dist-info"):
        (packages / name).mkdir(parents=True)
        (packages / name / "x").write_text("")
    (place / "bin").mkdir()
    (place / "bin" / "python").write_text("#!/bin/sh\n")


@with_git
def test_a_submodule_names_no_interpreter_of_the_repository_around_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _repository(tmp_path)
    _environment(tmp_path / "tools")
    subprocess.run(["git", "add", "tools"], cwd=tmp_path, check=True)
    inner = tmp_path / "sub"
    _repository(inner)
    python = tmp_path / "tools" / "bin" / "python"  # as a workflow has it in a place that everybody knows
    (inner / "pyproject.toml").write_text(f'[tool.analyzer]\npython = "{python}"\n')
    monkeypatch.chdir(inner)
    with pytest.raises(AnalyzerError, match="came with the repository"):
        project_python(Path("model"))
    subprocess.run(["git", "rm", "-rq", "--cached", "tools"], cwd=tmp_path, check=True)
    assert project_python(Path("model")) == str(python)


@with_git
@pytest.mark.parametrize(("kept", "named"), [(".Venv", ".venv"), ("e\u0301", "\u00e9")])
def test_a_name_that_is_spelled_otherwise_is_the_same(
    kept: str, named: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As macOS and Windows, which find the committed file by it."""
    _repository(tmp_path)
    _environment(tmp_path / kept)
    subprocess.run(["git", "add", "."], cwd=tmp_path, check=True)
    if not (tmp_path / named).exists():
        _environment(tmp_path / named)
    (tmp_path / "pyproject.toml").write_text(f'[tool.analyzer]\npython = "{named}/bin/python"\n')
    monkeypatch.chdir(tmp_path)
    with pytest.raises(AnalyzerError, match="came with the repository"):
        project_python(Path("model"))


@with_git
@pytest.mark.parametrize("brought", ["commit", "archive", "nobody"])
def test_nobody_is_told_to_start_an_environment_of_a_stranger(
    brought: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if brought != "archive":
        _repository(tmp_path)
    _environment(tmp_path / ".venv")
    (tmp_path / "pyproject.toml").write_text("[project]\n")
    if brought == "commit":
        subprocess.run(["git", "add", "."], cwd=tmp_path, check=True)
    monkeypatch.chdir(tmp_path)
    assert beside(Path("model")).python == ("" if brought != "nobody" else ".venv/bin/python")


@with_git
def test_an_odd_environment_stops_no_trace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _repository(tmp_path)
    _environment(tmp_path / ".venv")
    packages = tmp_path / ".venv" / "lib"
    (packages / "python3.12").mkdir()
    (packages / "python3.12" / "site-packages").write_text("a file")
    (packages / "python3.11" / "site-packages" / "torch-1; touch pwned.dist-info").mkdir()
    (packages / "python3.11" / "site-packages" / os.fsdecode(b"x-\xff\x1b.dist-info")).mkdir()
    (tmp_path / "pyproject.toml").write_text("[project]\n")
    monkeypatch.chdir(tmp_path)
    assert beside(Path("model")).has == {"torch": "2.6.0", "transformers": "4.44.2"}


@with_git
@pytest.mark.parametrize("said", ["~nobody-of-this-name/python", "x" * 5000, "a\\u0000b"])
def test_what_can_be_no_path_is_told_as_missing(said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pyproject.toml").write_text(f'[tool.analyzer]\npython = "{said}"\n')
    monkeypatch.chdir(tmp_path)
    with pytest.raises(AnalyzerError, match="no such file"):
        project_python(Path("model"))


def _missing(root: Path, text: str) -> list[str]:
    (root / "m.py").write_text(text)
    return needed(root, ["m.M"], lambda top: top.startswith("zz"))


def test_source_that_is_read_takes_no_endless_time(tmp_path: Path) -> None:
    begun = time.process_time()
    nest = "".join(f"{' ' * (depth + 1)}if a:\n" for depth in range(60))
    guarded = f"try:\n{nest}{' ' * 62}import zza\nexcept ImportError:\n pass\n"
    chain = "".join(f" elif a == {number}:\n  pass\n" for number in range(200))
    chained = f"try:\n if a:\n  import zzc\n{chain}except ImportError:\n pass\n"
    assert _missing(tmp_path, f"{guarded}{chained}import zzb\n") == ["zzb"]
    assert time.process_time() - begun < 10


def test_long_chains_are_read_to_their_end(tmp_path: Path) -> None:
    chain = "if a:\n pass\n" + "".join(f"elif a == {number}:\n pass\n" for number in range(700))
    text = f"{chain}else:\n import zzb\n"
    assert _missing(tmp_path, text) == ["zzb"]
    deep = compile(text, "m.py", "exec", flags=0x400)
    assert not is_guarded(deep, len(text.splitlines()))
    (tmp_path / "click.py").write_text(text)
    assert own_module(tmp_path, tmp_path, "click", ("Nothing",)) in (None, "click"), "of an installed name, read too"


@posix
def test_folders_that_hold_themselves_are_read_once(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / name).symlink_to(".")
    begun = time.process_time()
    assert _missing(tmp_path, "from .a import m\nfrom .b import m\nimport zzb\n") == ["zzb"]
    assert time.process_time() - begun < 10


def test_names_in_many_files_are_looked_up_for_a_while_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("analyzer.worker.named_models._NAMES", 30)
    root = tmp_path / "model"
    for name in ("model", "late"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text("{}")
    (root / "b.py").write_text('"org/late"')
    assert [one.name for one in named_models([TraceRequest(str(root))])] == ["org/late"]
    for number in range(4):
        (root / f"a{number}.py").write_text("\n".join(f'"no{number}/one{index}"' for index in range(10)))
    assert named_models([TraceRequest(str(root))]) == ()


@pytest.mark.parametrize(
    "said", ["4.0; rm -rf ~", "\x1b[31m4.40.0", "\uff14.40.0", "4.40.0.dev" + "9" * 9000, "1" * 9000]
)
def test_a_release_that_is_none_stands_in_no_command(said: str) -> None:
    origin = Origin({"transformers_version": said}, ("analyze", "trace", "m"))
    try:
        import_gone()
    except ImportError as error:
        told = origin.explained(error, ())
    assert "names no release" in told and said not in told


def import_gone() -> None:
    """Import what no transformers has."""
    from transformers import nothing_of_this_name  # type: ignore[attr-defined]  # noqa: F401


@pytest.mark.parametrize("module", ["/etc/evil", "a/../../b", "..x", "a..b", "m\0", "a\\b", "a" * 3000, ""])
def test_an_entry_of_auto_map_names_a_module_below_the_folder(module: str, tmp_path: Path) -> None:
    with pytest.raises(AnalyzerError, match=r"is not of the form module\.Class"):
        find_file(tmp_path, f"{module}.Model")
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "modeling-x.py").write_text("")
    assert find_file(tmp_path, "deep.modeling-x.Model") == tmp_path / "deep" / "modeling-x.py"


def test_a_revision_is_no_option() -> None:
    assert read_id("org/name@--token=x") is None and read_id("org/name@v1/x-y") == HubId("org/name", "v1/x-y")


def test_auto_in_capitals_is_a_slip() -> None:
    with pytest.raises(AnalyzerError, match="--stub AUTO is no package"):
        parse_stubs(["AUTO"])
