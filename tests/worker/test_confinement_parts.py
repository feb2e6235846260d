"""What may be read, what the environment holds, and what the filter answers on either architecture."""

from __future__ import annotations

import errno
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from analyzer.worker.confinement import (
    Confined,
    Rules,
    apply_rules,
    confine,
    interpreter_paths,
    model_files,
    model_paths,
    scrubbed,
)
from analyzer.worker.confinement.calls import COLUMNS, LAST_KNOWN, NUMBERS
from analyzer.worker.confinement.seccomp import assembled

ROOT = Path(__file__).parents[2]
ALLOW, KILL, ERROR = 0x7FFF0000, 0x80000000, 0x00050000
ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
OWN, OTHER = 4321, 1


def test_the_interpreter_reads_its_packages_and_no_home_or_process() -> None:
    paths = [Path(path) for path in interpreter_paths()]
    for needed in (os.__file__, pytest.__file__, apply_rules.__file__, "/proc/self/status"):
        assert any(path == Path(needed) or path in Path(needed).parents for path in paths), needed
    for denied in (
        Path.home(),
        Path("/"),
        Path("/proc"),
        Path("/etc"),
        Path("/etc/passwd"),
        Path("/tmp"),
        Path("/var"),
    ):
        assert not any(path == denied or path in denied.parents for path in paths), denied


def test_a_home_on_the_import_path_is_not_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "home" / "package"
    package.mkdir(parents=True)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path), str(tmp_path / "home"), str(package), "", "relative"])
    added = {path for path in interpreter_paths() if path.startswith(str(tmp_path)) or not Path(path).is_absolute()}
    assert added == {str(package)}


def test_packages_that_are_links_are_read_where_they_lie(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, packages, strange = tmp_path / "store", tmp_path / "site-packages", tmp_path / "project"
    for folder in (store / "whole", store / "parts", packages / "parts", strange, tmp_path / "private"):
        folder.mkdir(parents=True)
    (store / "parts" / "__init__.py").touch()
    (packages / "whole").symlink_to(store / "whole")
    (packages / "parts" / "__init__.py").symlink_to(store / "parts" / "__init__.py")
    (strange / "taken").symlink_to(tmp_path / "private")  # a folder of code that is on the path, and no installer's
    monkeypatch.setattr(sys, "path", [str(packages), str(strange)])
    found = interpreter_paths()
    assert {str(store / "whole"), str(store / "parts")} <= {*found}
    assert str(tmp_path / "private") not in found and str(store) not in found


def test_a_links_target_is_read_if_it_is_weights(tmp_path: Path) -> None:
    model = tmp_path / "model"
    (model / "unet").mkdir(parents=True)
    for name in ("a.safetensors", "b.bin", "c.pt", "d.json", "e.py", "key"):
        (tmp_path / name).write_text("", encoding="utf-8")
        (model / "unet" / name).symlink_to(tmp_path / name)
    (model / "key.safetensors").symlink_to(tmp_path / "key")
    (model / "gone.safetensors").symlink_to(tmp_path / "nowhere.safetensors")
    (model / "inside.json").symlink_to("unet")
    assert model_paths(model) == tuple(str(tmp_path / name) for name in ("a.safetensors", "b.bin", "c.pt", "model"))


def test_links_that_cannot_be_followed_and_endless_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = tmp_path / "model"
    model.mkdir()
    for number in range(50):
        (model / f"{number}").write_text("")
    (tmp_path / "w.bin").write_text("")
    (model / "w.bin").symlink_to(tmp_path / "w.bin")
    (model / "loop.bin").symlink_to("loop.bin")
    monkeypatch.setattr(os.path, "realpath", _Refused(os.path.realpath, "loop.bin"))
    assert model_paths(model) == tuple(sorted((str(model), str(tmp_path / "w.bin"))))
    monkeypatch.setattr(model_files, "_ENTRIES", 0)
    assert model_paths(model) == (str(model),)


class _Refused:
    """As the kernel answers for the links of another person's process."""

    def __init__(self, real: Callable[..., str], name: str) -> None:
        self._real, self._name = real, name

    def __call__(self, path: str | Path, *args: object, **options: object) -> str:
        if Path(path).name == self._name:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return self._real(path, *args, **options)


def test_a_snapshot_reads_the_blobs_of_its_own_repository(tmp_path: Path) -> None:
    for repository in ("models--a--b", "models--c--d"):
        (tmp_path / repository / "blobs").mkdir(parents=True)
        (tmp_path / repository / "blobs" / "0123").write_text("{}", encoding="utf-8")
    snapshot = tmp_path / "models--a--b" / "snapshots" / "f00"
    (snapshot / "unet").mkdir(parents=True)
    (snapshot / "config.json").symlink_to("../../blobs/0123")
    (snapshot / "other.json").symlink_to("../../../models--c--d/blobs/0123")
    (snapshot / "unet" / "config.json").symlink_to("../../../blobs/0123")
    own = str(tmp_path / "models--a--b" / "blobs" / "0123")
    assert model_paths(snapshot) == (own, str(snapshot))
    assert model_paths(snapshot / "unet") == (own, str(snapshot / "unet"))


def test_a_file_stands_for_itself_and_a_script_for_its_folder(tmp_path: Path) -> None:
    for name in ("model.py", "model.pt2"):
        (tmp_path / name).write_text("", encoding="utf-8")
    assert model_paths(tmp_path / "model.py") == (str(tmp_path),)
    assert model_paths(tmp_path / "model.pt2") == (str(tmp_path / "model.pt2"),)


def test_the_environment_holds_no_secret_and_leads_every_cache_to_the_scratch_folder() -> None:
    given = {
        "PATH": "/bin", "LC_ALL": "C", "OMP_NUM_THREADS": "2", "HF_TOKEN": "hf", "AWS_SECRET_ACCESS_KEY": "aws",
        "HTTPS_PROXY": "http://me:word@proxy", "SSH_AUTH_SOCK": "/s", "LD_PRELOAD": "x.so", "HF_HOME": "/home/cache",
        "PYTHONPATH": os.pathsep.join(["", "relative", "/absolute"]), "PYTHONSTARTUP": "x.py", "TMPDIR": "/tmp",
    }  # fmt: skip
    made = scrubbed(given, "/scratch")
    assert {name: made[name] for name in ("PATH", "LC_ALL", "OMP_NUM_THREADS", "PYTHONPATH")} == {
        "PATH": "/bin", "LC_ALL": "C", "OMP_NUM_THREADS": "2", "PYTHONPATH": "/absolute",
    }  # fmt: skip
    assert not {"HF_TOKEN", "AWS_SECRET_ACCESS_KEY", "HTTPS_PROXY", "SSH_AUTH_SOCK", "LD_PRELOAD"} & set(made)
    assert "PYTHONSTARTUP" not in made and made["HF_HUB_OFFLINE"] == made["TRANSFORMERS_OFFLINE"] == "1"
    assert made["TMPDIR"] == made["HOME"] == "/scratch"
    for name in ("HF_HOME", "XDG_CACHE_HOME", "TORCHINDUCTOR_CACHE_DIR", "TRITON_CACHE_DIR", "MPLCONFIGDIR"):
        assert Path("/scratch") in Path(made[name]).parents


def test_another_system_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apply_rules, "set_limits", lambda *_: None)
    monkeypatch.setattr(apply_rules, "replace_descriptors", lambda _: None)
    monkeypatch.setattr(sys, "platform", "darwin")
    held = confine(Rules((), (), address_space=1))
    assert held == Confined(files=False, network=False, processes=False, memory=True, reason="macOS")
    assert held.line() == "not confined: macOS"


def test_a_failure_is_reported_and_not_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("set_limits", "replace_descriptors", "drop_privileges", "restrict_files", "filter_calls"):
        monkeypatch.setattr(apply_rules, name, lambda *_, name=name: int(name))
    monkeypatch.setattr(sys, "platform", "linux")
    held = confine(Rules((), (), address_space=1))
    assert not (held.files or held.network or held.processes or held.memory)
    assert "restrict_files" in held.line() and "filter_calls" in held.line()


def test_the_package_imports_nothing_large() -> None:
    large = "{'torch', 'networkx', 'numpy', 'yaml', 'click', 'rich', 'graphviz', 'socket'}"
    code = f"import sys, analyzer.worker.confinement\nprint(sorted({large} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


# The filter, run by hand: the architecture of this machine is not the only one.


def _run(machine: str, number: int, *arguments: int, architecture: int | None = None) -> int:
    data = {0: number, 4: ARCHITECTURES[machine] if architecture is None else architecture}
    for position, value in enumerate((*arguments, 0, 0, 0, 0, 0, 0)[:6]):
        data[16 + 8 * position], data[20 + 8 * position] = value & 0xFFFFFFFF, value >> 32 & 0xFFFFFFFF
    program, at, held = assembled(machine, OWN), 0, 0
    while True:
        code, if_true, if_false, operand = program[at]
        at += 1
        if code == 0x20:
            held = data[operand]
        elif code == 0x54:
            held &= operand
        elif code in (0x15, 0x35):
            at += if_true if (held == operand if code == 0x15 else held >= operand) else if_false
        else:
            assert code == 0x06
            return operand


def _answer(machine: str, name: str, *arguments: int) -> int:
    number = NUMBERS[name][COLUMNS[machine]]
    assert number is not None
    return _run(machine, number, *arguments)


THREAD = 0x3D0F00
DENIED, UNKNOWN, DONE, NO_TERMINAL = (ERROR | code for code in (errno.EPERM, errno.ENOSYS, 0, errno.ENOTTY))
ANSWERS = [
    ("execve", (), DENIED),
    ("clone", (THREAD,), ALLOW),
    ("clone", (17,), DENIED),
    ("clone", (THREAD | 0x10000000,), DENIED),
    ("clone", (0x4111,), DENIED),
    ("clone3", (), UNKNOWN),
    ("socket", (1,), DENIED),
    ("sendto", (5, 0, 9, 0, 0), ALLOW),
    ("sendto", (5, 0, 9, 0, 1 << 32), DENIED),
    ("kill", (OWN, 10), ALLOW),
    ("kill", (0, 10), DENIED),
    ("kill", (-OWN & 0xFFFFFFFFFFFFFFFF, 10), DENIED),
    ("tgkill", (OWN, 9999, 6), ALLOW),
    ("tgkill", (OTHER, OTHER, 6), DENIED),
    ("tkill", (OWN,), DENIED),
    ("prlimit64", (OWN, 7, 0), ALLOW),
    ("prlimit64", (0, 7, 1 << 40), DENIED),
    ("prctl", (15,), ALLOW),
    ("prctl", (4, 1), DENIED),
    ("ioctl", (1, 0x5401), ALLOW),
    ("ioctl", (0, 0x5412), NO_TERMINAL),
    ("fcntl", (3, 1), ALLOW),
    ("fcntl", (3, 8), DENIED),
    ("openat", (3, 0, os.O_RDONLY), ALLOW),
    ("openat", (3, 0, os.O_WRONLY | os.O_TRUNC), ALLOW),
    ("openat", (3, 0, os.O_RDONLY | os.O_TRUNC), DENIED),
    ("openat", (3, 0, 3 | os.O_TRUNC), DENIED),
    ("fchmod", (), DONE),
    ("sched_setaffinity", (0,), ALLOW),
    ("sched_setaffinity", (OTHER,), DONE),
    ("io_uring_setup", (), UNKNOWN),
    ("unshare", (), DENIED),
]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="flags and errors have other numbers elsewhere")
@pytest.mark.parametrize("machine", ARCHITECTURES)
@pytest.mark.parametrize(("name", "arguments", "answer"), ANSWERS)
def test_the_filter_answers(machine: str, name: str, arguments: tuple[int, ...], answer: int) -> None:
    assert _answer(machine, name, *arguments) == answer


@pytest.mark.parametrize("machine", ARCHITECTURES)
def test_calls_of_another_architecture_and_later_calls_are_denied(machine: str) -> None:
    assert _run(machine, 59, architecture=0x40000003) == KILL  # 32-bit x86
    assert _run(machine, 0x40000000) == ERROR | errno.EPERM  # x32
    assert _run(machine, LAST_KNOWN + 1) == ERROR | errno.ENOSYS
    assert _run(machine, 63 if machine == "aarch64" else 0) == ALLOW  # read


@pytest.mark.parametrize(
    ("column", "header"),
    [(0, "/usr/include/x86_64-linux-gnu/asm/unistd_64.h"), (1, "/usr/include/asm-generic/unistd.h")],
)
def test_the_numbers_are_the_kernels(column: int, header: str) -> None:
    if not Path(header).exists():
        pytest.skip("the kernel's headers are not installed")
    found = re.findall(r"#define __NR(?:3264)?_(\w+) (\d+)\b", Path(header).read_text(encoding="utf-8"))
    known = {name: int(number) for name, number in found}
    wrong = {name: both[column] for name, both in NUMBERS.items() if known.get(name, both[column]) != both[column]}
    assert len(known) > 250 and not wrong
