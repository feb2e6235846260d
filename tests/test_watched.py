"""Who waits for the command ends it where nothing inside can, hands signals on, and gives its exit code."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the command is one process elsewhere")
START = """
import os, re, signal, sys, time
from analyzer import watched
watched._MORE = 1.0
def command():
{body}
sys.exit(watched.watched(command))
"""


def _started(body: str, **options: object) -> subprocess.Popen[str]:
    script = START.format(body="\n".join(f"    {line}" for line in body.splitlines()))
    return subprocess.Popen(
        [sys.executable, "-c", script], stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, **options
    )  # type: ignore[call-overload,no-any-return]


@pytest.mark.parametrize("code", [0, 1, 2, 130])
def test_the_exit_code_is_the_commands(code: int) -> None:
    process = _started(f"print('out')\nreturn {code}")
    assert process.communicate(timeout=20) == ("out\n", "") and process.returncode == code


def test_what_nothing_inside_can_interrupt_is_ended() -> None:
    process = _started("watched.bounded(0.2, 0)\nre.match('(a+)+$', 'a' * 60 + 'b')")
    out, err = process.communicate(timeout=20)
    assert (out, err, process.returncode) == ("", "analyze: stopped: it went on for 1.6 s (--deadline 0.2)\n", 2)


def test_what_takes_too_much_memory_is_ended() -> None:
    process = _started("watched.bounded(0, 200 << 20)\nheld = b'x' * (400 << 20)\ntime.sleep(30)")
    err = process.communicate(timeout=20)[1]
    assert process.returncode == 2 and err.count("\n") == 1 and "more than 0.195312 GB" in err


def test_one_that_crashes_is_told() -> None:
    process = _started("os.kill(os.getpid(), signal.SIGSEGV)")
    assert process.communicate(timeout=20)[1] == "analyze: the command was ended by SIGSEGV\n"
    assert process.returncode == 2


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP", "SIGINT"])
def test_signals_are_handed_on_once(name: str) -> None:
    number = getattr(signal, name)
    body = f"seen = []\nsignal.signal({int(number)}, lambda *_: seen.append(1))\nprint('ready', flush=True)\n" \
           "time.sleep(0.7)\nreturn 40 + len(seen)"  # fmt: skip
    process = _started(body)
    assert process.stdout is not None and process.stdout.readline() == "ready\n"
    process.send_signal(number)
    assert process.wait(20) == 41


def test_a_signal_of_the_terminal_comes_once(tmp_path: Path) -> None:
    """Every process of the group has it already."""
    pty = pytest.importorskip("pty")
    script = tmp_path / "script.py"
    body = "seen = []\nsignal.signal(2, lambda *_: seen.append(1))\nprint('ready', flush=True)\n" \
           "time.sleep(1)\nreturn 40 + len(seen)"  # fmt: skip
    script.write_text(START.format(body="\n".join(f"    {line}" for line in body.splitlines())))
    child, terminal = pty.fork()
    if child == 0:
        os.execv(sys.executable, [sys.executable, str(script)])
    assert b"ready" in os.read(terminal, 100)
    os.write(terminal, b"\x03")
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 41
    os.close(terminal)


def test_the_command_does_not_outlive_who_waits(tmp_path: Path) -> None:
    process = _started("print(os.getpid(), flush=True)\ntime.sleep(30)")
    assert process.stdout is not None
    child = int(process.stdout.readline())
    process.kill()
    process.wait(10)
    for _ in range(50):
        if not Path(f"/proc/{child}").exists() or "Z" in Path(f"/proc/{child}/stat").read_text().split()[2]:
            return
        time.sleep(0.1)
    raise AssertionError("it is still there")


def test_a_parent_that_ignores_its_children_is_none_of_ours() -> None:
    """Some services start commands so; the system then keeps no exit codes."""
    script = START.format(body="    return 7")
    command = f"import os, signal, sys; signal.signal(signal.SIGCHLD, signal.SIG_IGN); os.execv({sys.executable!r}, " \
              f"[{sys.executable!r}, '-c', {script!r}])"  # fmt: skip
    assert subprocess.run([sys.executable, "-c", command], check=False).returncode == 7


@pytest.mark.parametrize("seconds", [0.3, 0.9])
def test_a_command_that_was_stopped_goes_on(seconds: float) -> None:
    """As by Ctrl-Z and fg; the interrupted wait of CPython may then tell of a signal that nobody sent."""
    process = _started("print('ready', flush=True)\ntime.sleep(0.5)\nreturn 7", start_new_session=True)
    assert process.stdout is not None and process.stdout.readline() == "ready\n"
    for number in (signal.SIGTSTP, signal.SIGCONT):
        os.killpg(process.pid, number)
        time.sleep(seconds)
    assert process.wait(20) == 7


def test_where_no_process_can_be_made_the_command_runs_alone() -> None:
    refused = "def fork():\n    raise OSError(11, 'no')\nos.fork = fork\nsys.exit("
    script = START.format(body="    return 7").replace("sys.exit(", refused)
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 7
