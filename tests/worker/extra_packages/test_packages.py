"""`--with`: installed once beside what is there, confined, whole or not at all, and told in one line where it fails."""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path

import pytest
import torch

from analyzer.cli import main
from analyzer.errors import AnalyzerError
from analyzer.worker.extra_packages import cache, packages_folder
from tests.worker.extra_packages.wheels import source, wheel
from tests.worker.models import written

LABEL = torch.__version__.partition("+")[2]
IMPORTS = """
import iniconfig, zz_tiny, torch
assert zz_tiny.release == "1.5" and zz_tiny.helped == 3 and iniconfig.release == "0.0.9", iniconfig
assert torch.__file__ == {torch!r}
try:
    open(zz_tiny.__file__, "a")
except PermissionError:
    pass
else:
    assert not confined
x = x * zz_tiny.helped
"""


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of wheels, the only index there is, and an empty cache."""
    folder = tmp_path / "index"
    folder.mkdir()
    for name in ("PIP_CONFIG_FILE", "UV_CONFIG_FILE"):
        monkeypatch.setenv(name, os.devnull)
    for name, value in {"PIP_NO_INDEX": "1", "UV_OFFLINE": "1", "PIP_FIND_LINKS": str(folder),
                        "UV_FIND_LINKS": str(folder), "XDG_CACHE_HOME": str(tmp_path / "cache")}.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    mark = f"import pathlib; pathlib.Path({str(tmp_path / 'mark')!r}).touch()\n"
    zz_tiny = {"zz_tiny/__init__.py": "from zz_helper import helped\nrelease = '1.5'\n", "zz_tiny.pth": mark}
    wheel(folder, "zz_tiny", "1.5", zz_tiny, needs="zz_helper>=2")
    wheel(folder, "zz_tiny", "2.0", {"zz_tiny/__init__.py": ""}, needs="torch>=99")
    wheel(folder, "zz_helper", "2.1", {"zz_helper.py": "helped = 3\n"})
    wheel(folder, "iniconfig", "0.0.9", {"iniconfig/__init__.py": "release = '0.0.9'\n"})
    return folder


def _kept(tmp_path: Path) -> list[Path]:
    return sorted((tmp_path / "cache" / "analyze" / "packages").glob("*"))


def test_packages_are_there_for_the_model_and_run_nowhere_else(index: Path, tmp_path: Path) -> None:
    body = IMPORTS.format(torch=torch.__file__).replace("confined", str(sys.platform == "linux"))
    asked = ["trace", written(tmp_path, body), "--with", "zz-tiny==1.5", "--with", "iniconfig==0.0.9"]
    assert main(asked) == 0
    (kept,) = _kept(tmp_path)
    assert {one.name for one in kept.glob("*.dist-info")} == {
        "zz_tiny-1.5.dist-info", "zz_helper-2.1.dist-info", "iniconfig-0.0.9.dist-info",
    }  # fmt: skip
    for file in index.iterdir():
        file.unlink()
    assert main(asked) == 0, "what was installed is kept"
    assert not (tmp_path / "mark").exists(), "what a package wants run when Python starts was not"


def test_the_other_commands_have_them_too(index: Path, tmp_path: Path) -> None:
    model = written(tmp_path, "import zz_helper\nassert zz_helper.helped == 3")
    for name, *more in (["check"], ["fix"], ["diff", "--b", "to=float32"]):
        assert main([name, model, *more, "--with", "zz_helper"]) == 0
        assert main([name, model, *more]) == 2


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ("zz-tiny==3", "zz-tiny==3"),
        ("no-such-package", "no-such-package"),
        ("zz-tiny==2.0", "torch"),
        ("built==1.0", "built"),
    ],
)
def test_what_cannot_be_installed_is_one_line(
    asked: str, words: str, index: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source(index, "built", "1.0", f"open({str(tmp_path / 'mark')!r}, 'w')")
    assert main(["trace", written(tmp_path), "--with", asked]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1 and err.startswith(f"analyze: --with {asked}: ") and words in err.partition(": ")[2]
    assert "cannot install it" in err and "does not say why" not in err
    assert not (tmp_path / "mark").exists() and not _kept(tmp_path)


@pytest.mark.parametrize("text", ["-r x", "--index-url=http://x", "git+https://x/y", "./tiny.whl", "a b", "", "torch"])
def test_what_is_no_package_is_refused_before_anything_is_done(
    text: str, index: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["trace", written(tmp_path), "--with", text]) == 2
    err = capsys.readouterr().err
    assert err.startswith("analyze: --with ") and err.count("\n") == 1 and not _kept(tmp_path)


@pytest.mark.skipif(not LABEL, reason="this torch does not say what it is built for")
def test_what_is_built_for_another_torch_is_left_out(index: Path, tmp_path: Path) -> None:
    wheel(index, "torchvision", "0.99", {"torchvision/__init__.py": ""})
    wheel(index, "eyes", "1.0", {"eyes.py": ""}, needs="torchvision")
    folder = packages_folder(["eyes"], sys.executable, lambda _: None)
    assert (folder / "eyes.py").exists() and not list(folder.glob("torchvision*"))
    with pytest.raises(AnalyzerError, match=r"torchvision: 0\.99 is built for another torch"):
        packages_folder(["torchvision"], sys.executable, lambda _: None)


def test_a_making_that_is_interrupted_leaves_nothing_and_the_next_tells_how_far_it_is(
    index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(cache, "install", interrupted)
        packages_folder(["zz_helper"], sys.executable, lambda _: None)
    assert not _kept(tmp_path)
    said: list[str] = []
    assert (packages_folder(["zz_helper"], sys.executable, said.append) / "zz_helper.py").exists()
    assert said[0] == "installing zz_helper" and len(said) > 1
    packages_folder(["zz_helper"], sys.executable, lambda text: pytest.fail(text))


def test_two_at_once_make_one_and_what_was_left_half_made_goes(index: Path, tmp_path: Path) -> None:
    half = tmp_path / "cache" / "analyze" / "packages" / ".making-x"
    half.mkdir(parents=True)
    os.utime(half, (0, 0))
    found: list[Path] = []
    both = [
        threading.Thread(target=lambda: found.append(packages_folder(["zz_helper"], sys.executable, lambda _: None)))
        for _ in range(2)
    ]
    for one in both:
        one.start()
    for one in both:
        one.join()
    assert found == _kept(tmp_path) * 2 and (found[0] / "zz_helper.py").exists()


def test_a_release_that_is_too_old_is_told(index: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wheel(index, "transformers", "4.35.2", {})
    assert main(["trace", written(tmp_path), "--with", "transformers==4.35.2"]) == 2
    assert "has transformers 4.35.2, and analyze runs with 4.36 and later" in capsys.readouterr().err


def test_a_real_package_of_the_public_index(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    model = written(tmp_path, "from easydict import EasyDict\nassert EasyDict(a=1).a == 1")
    code = main(["trace", model, "--with", "easydict==1.13"])
    err = capsys.readouterr().err
    if "no package index can be reached" in err or "there is no wheel of easydict" in err:
        pytest.skip("no package index that has it is reached from here")
    assert code == 0, err
