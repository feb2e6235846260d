"""Ctrl-C and SIGTERM at any moment: their exit code, one line, no file and no process left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.worker.models import written

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="it looks for processes in /proc")
INT, TERM, HUP = signal.SIGINT, signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGTERM)


def _heeds_ctrl_c() -> None:
    signal.signal(INT, signal.default_int_handler)  # a shell's background jobs ignore it


def _started(folder: Path, *command: str, ignoring: int = 0) -> subprocess.Popen[str]:
    """A process whose temporary files are in `folder`, in a session of its own."""
    (folder / "tmp").mkdir()
    env = {**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(folder / "tmp"), "HOME": str(folder)}

    def ready() -> None:
        _heeds_ctrl_c()
        if ignoring:
            signal.signal(ignoring, signal.SIG_IGN)

    return subprocess.Popen(
        [sys.executable, *command], cwd=folder, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        preexec_fn=ready, start_new_session=True,
    )  # fmt: skip


def _running(folder: Path) -> list[int]:
    """The processes whose environment says that they belong to a run in this folder."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            if str(folder / "tmp").encode() in (place / "environ").read_bytes():
                found.append(int(place.name))
        except OSError:
            continue
    return found


def _until(folder: Path, seconds: float = 60.0) -> None:
    """Wait for the worker's scratch folder, and for its worker."""
    end = time.monotonic() + seconds
    while time.monotonic() < end and not (list((folder / "tmp").glob("analyze-*")) and len(_running(folder)) > 1):
        time.sleep(0.02)


@pytest.mark.parametrize(("numbers", "after"), [([INT], 0.0), ([TERM], 0.3), ([INT, INT], 1.5), ([TERM, INT], 0.0)])
def test_a_run_that_waits_leaves_nothing(numbers: list[int], after: float, tmp_path: Path) -> None:
    written(tmp_path, "while True: time.sleep(0.01)")
    run = _started(tmp_path, "-m", "analyzer", "trace", "model.py", "--out", "a.svg")
    _until(tmp_path)
    time.sleep(after)
    for number in numbers:
        run.send_signal(number)
        time.sleep(0.05)
    _, err = run.communicate(timeout=60)
    assert run.returncode in {128 + number for number in numbers} and err.count("\n") == 1, err
    assert err.startswith(("analyze: interrupted", "analyze: terminated"))
    assert list((tmp_path / "tmp").iterdir()) == [] and _running(tmp_path) == []
    assert {one.name for one in tmp_path.iterdir()} <= {"model.py", "tmp", "a.svg"}


PATCHED = """
import os, signal, sys
sys.path.insert(0, {root!r})
from importlib import import_module
module = import_module("{module}")
real = module.{name}
def late(*args):
    os.kill(os.getpid(), {number}); os.kill(os.getpid(), {number})
    return real(*args)
module.{name} = late
from analyzer.cli import main
sys.exit(main(sys.argv[1:]))
"""
"""The command, to which a signal comes twice in the middle of something."""


def _draws(folder: Path, module: str, name: str, number: int) -> tuple[int, str]:
    from analyzer.render.json import render
    from tests.render.models import report, seed

    (folder / "r.json").write_bytes(render(report(*seed())))
    (folder / "b.json").write_text("old")
    code = PATCHED.format(root=str(ROOT), module=module, name=name, number=int(number))
    run = _started(folder, "-c", code, "draw", "r.json", "--out", "a.svg", "--out", "b.json")
    _, err = run.communicate(timeout=60)
    return run.returncode, err


@pytest.mark.parametrize(("number", "words"), [(INT, "interrupted"), (TERM, "terminated"), (HUP, "the terminal is")])
@pytest.mark.parametrize(("module", "name"), [("analyzer.output_files", "_fill"), ("analyzer.render.svg", "layout")])
def test_in_the_middle_of_a_file(number: int, words: str, module: str, name: str, tmp_path: Path) -> None:
    got, err = _draws(tmp_path, module, name, number)
    assert got == 128 + number and err.startswith(f"analyze: {words}") and err.count("\n") == 1
    assert (tmp_path / "b.json").read_text() == "old"
    assert {one.name for one in tmp_path.iterdir()} == {"r.json", "b.json", "tmp"}
    assert list((tmp_path / "tmp").iterdir()) == []


def test_what_nohup_ignores_ends_nothing(tmp_path: Path) -> None:
    from analyzer.render.json import render
    from tests.render.models import report, seed

    (tmp_path / "r.json").write_bytes(render(report(*seed())))
    code = PATCHED.format(root=str(ROOT), module="analyzer.output_files", name="_fill", number=int(HUP))
    run = _started(tmp_path, "-c", code, "draw", "r.json", "--out", "a.svg", ignoring=HUP)
    assert run.communicate(timeout=60)[1] == "" and run.returncode == 0 and (tmp_path / "a.svg").exists()


SCRATCH = """
import os, signal, sys
sys.path.insert(0, {root!r})
from analyzer.worker import scratch
real = scratch.remove
def slow(folder):
    os.kill(os.getpid(), {number})
    real(folder)
scratch.remove = slow
try:
    with scratch.scratch_folder() as folder:
        print(folder)
        {body}
except KeyboardInterrupt:
    print("ended")
"""


@pytest.mark.parametrize("body", ["pass", "os.kill(os.getpid(), 2)"])
def test_a_scratch_folder_is_removed_before_a_signal_is_heard(body: str, tmp_path: Path) -> None:
    run = _started(tmp_path, "-c", SCRATCH.format(root=str(ROOT), number=int(INT), body=body))
    out, err = run.communicate(timeout=60)
    folder, end = out.split()
    assert end == "ended" and not err and not Path(folder).exists()
