"""What holds where the tests do not run: without what Unix alone has, with backslashes, in a Western code page."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from analyzer.capture.source_lines import shared
from analyzer.check.suppressions import configured
from analyzer.ir.graph import Place
from analyzer.picture.view_options import Look
from analyzer.render.check import sarif

ROOT = Path(__file__).parents[1]
_WITHOUT_UNIX = """
import os, signal, socket, sys
import click, graphviz, networkx, rich.console, yaml
import asyncio, ctypes, multiprocessing, subprocess, sysconfig, tempfile  # what asks for the system as it is made
sysconfig.get_config_vars()
{libraries}
for module in ("resource", "fcntl", "pwd", "grp", "termios", "pty", "posix", "syslog"):
    sys.modules[module] = None
for owner, names in {of_unix!r}.items():
    for name in names:
        if hasattr(sys.modules[owner], name):
            delattr(sys.modules[owner], name)
sys.platform = "win32"
"""
_OF_UNIX = {
    "os": (
        "fork", "forkpty", "geteuid", "getuid", "getgid", "getegid", "getpgid", "getsid", "killpg", "setsid", "wait",
        "wait3", "wait4", "WNOHANG", "O_NOFOLLOW", "O_NONBLOCK", "O_CLOEXEC", "O_NOCTTY", "O_DIRECTORY", "O_PATH",
        "O_SYNC", "mkfifo", "pipe2", "register_at_fork", "set_blocking", "sysconf", "statvfs", "uname", "getloadavg",
        "sched_getaffinity", "sched_setaffinity", "fchmod", "fchown", "chown", "lchown", "chroot", "memfd_create",
        "posix_spawn", "sendfile", "ttyname", "openpty", "nice", "pread", "pwrite", "getpriority", "pidfd_open",
    ),
    "signal": (
        "SIGKILL", "SIGALRM", "SIGHUP", "SIGPIPE", "SIGCHLD", "SIGUSR1", "SIGUSR2", "SIGQUIT", "SIGSTOP", "SIGCONT",
        "SIGTSTP", "alarm", "setitimer", "pthread_kill", "pthread_sigmask", "sigtimedwait", "sigwait", "pause",
        "pidfd_send_signal", "SIG_BLOCK", "SIG_SETMASK",
    ),
    "socket": ("AF_UNIX", "SCM_RIGHTS"),
    "subprocess": ("_posixsubprocess",),
}  # fmt: skip
"""What Python has on Unix alone."""
_LIBRARIES = """
import torch, torch._dynamo, torch.distributed
from transformers import AutoModel, GenerationMixin, PreTrainedModel
"""


def _modules(*folders: str) -> list[str]:
    files = [file for folder in folders for file in sorted((ROOT / "analyzer").glob(folder))]
    names = [".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__") for file in files]
    return [name for name in names if not name.endswith("__main__")]


def _without_unix(program: str, libraries: str = "") -> subprocess.CompletedProcess[str]:
    before = _WITHOUT_UNIX.format(libraries=libraries, of_unix=_OF_UNIX)
    return subprocess.run(
        [sys.executable, "-c", before + program], cwd=ROOT, capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip


def test_every_module_of_the_front_is_imported_without_what_is_unix_alone() -> None:
    front = _modules("*.py", "cli/*.py", "plans/*.py", "render/**/*.py", "diff/*.py", "check/*.py", "report/*.py",
                     "picture/*.py", "rules/*.py", "training/*.py", "ir/**/*.py", "foreign/*.py", "worker/*.py",
                     "worker/confinement/*.py")  # fmt: skip
    front = [name for name in front if name not in ("analyzer.api", "analyzer.propagate")]
    program = f"for name in {front!r}:\n    __import__(name)\nprint('torch' in sys.modules, end='')"
    done = _without_unix(program)
    assert (done.returncode, done.stdout) == (0, "False"), done.stderr
    assert len(front) > 150


def test_every_module_of_the_worker_is_imported_and_traces_without_what_is_unix_alone(tmp_path: Path) -> None:
    (tmp_path / "model.py").write_text(
        "import torch\nfrom torch import nn\n\n\n"
        "class M(nn.Module):\n    def __init__(self):\n        super().__init__()\n"
        "        self.a = nn.Linear(4, 4)\n\n    def forward(self, x):\n        return self.a(x.bfloat16())\n\n\n"
        "def build():\n    return M(), {'x': torch.ones(2, 4)}\n"
    )
    worker = _modules("**/*.py")
    program = f"""
for name in {worker!r}:
    __import__(name)
from analyzer.cli import main
sys.exit(main(["trace", {str(tmp_path / "model.py")!r}, "--trust-remote-code", "--in-process", "--device", "cpu",
               "--out", {str(tmp_path / "r.json")!r}]))
"""
    done = _without_unix(program, _LIBRARIES)
    assert done.returncode == 1, done.stderr
    report = json.loads((tmp_path / "r.json").read_text(encoding="utf-8"))
    assert [(finding["code"], finding["file"]) for finding in report["findings"]] == [("DT101", "model.py")]


@pytest.mark.parametrize(
    ("filename", "shown"),
    [
        ("C:\\models\\own\\layers\\norm.py", "layers/norm.py"),
        ("C:\\py\\Lib\\site-packages\\transformers\\models\\llama\\modeling_llama.py",
         "transformers/models/llama/modeling_llama.py"),
        ("D:\\else\\where.py", "D:/else/where.py"),
    ],
)  # fmt: skip
def test_a_source_file_is_named_with_slashes(filename: str, shown: str) -> None:
    assert shared(filename, ("C:\\models\\own\\", "C:\\py\\Lib\\site-packages\\"), "\\") == shown


def test_a_name_with_a_backslash_stays_where_it_is_a_letter_like_any_other() -> None:
    assert shared("/m/odd\\name.py", ("/m/",), "/") == "odd\\name.py"


def test_a_suppression_may_name_its_file_with_backslashes(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(
        '[tool.analyzer]\nsuppress = [{ code = "DT101", file = "layers\\\\*.py", reason = "known" }]\n'
    )
    (found,) = configured((tmp_path,), {"mixed-product": "DT101"})
    assert found.file == "layers/*.py"


def test_a_path_on_another_drive_is_an_address_of_its_own_and_no_link() -> None:
    assert sarif._artifact("D:/else/a b.py") == {"uri": "file:///D:/else/a%20b.py"}
    assert sarif._artifact("/else/a b.py") == {"uri": "file:///else/a%20b.py"}
    assert sarif._artifact("own/a b.py")["uri"] == "own/a%20b.py"
    look = Look(link_base="https://host/model")
    assert look.href(Place("D:/else/where.py", 3), {}) == ""
    assert look.href(Place("a:b.py", 3), {}) == "https://host/model/a%3Ab.py#L3"


@pytest.mark.parametrize("encoding", ["cp1252", "iso8859-5"])
def test_what_a_code_page_lacks_is_escaped_and_no_fault(encoding: str, tmp_path: Path) -> None:
    folder = tmp_path / "模型"
    folder.mkdir()
    (folder / "config.json").write_text('{"model_type": "模型-é"}', encoding="utf-8")
    env = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"}
    done = subprocess.run(
        [sys.executable, "-m", "analyzer", "trace", str(folder)], capture_output=True, env=env, check=False, cwd=ROOT
    )
    said = done.stderr.decode(encoding)
    assert done.returncode == 2, said
    assert said.startswith("analyze: ") and said.count("\n") == 1 and "\\u6a21" in said
