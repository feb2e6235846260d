"""Runs the command in a process of its own, and ends it from outside where it never ends: it reads strangers' files.

The one that a shell started only waits. What a model does is bounded by its worker; this bounds what is read, drawn and
written around it, in code that nothing inside of a process can interrupt.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from analyzer.held_signals import ENDING

FAILED: Final = 2
TIMES: Final = 3
"""How much longer than its deadline a command may take: there may be two models, and there is reading and drawing."""
_MORE: Final = 120.0
_TICK: Final = 0.5
"""Seconds between two looks at the clock and the memory."""
_MEMORY: Final = 8 << 30
_DEADLINE: Final = 300.0
_OF_TERMINAL: Final = 128
"""si_code of a signal that the kernel sent: the whole group of a terminal's processes has it already."""
_PARENT_DIED: Final = 1
"""PR_SET_PDEATHSIG of prctl(2)."""
_WRITER: list[int] = []


def bounded(deadline: float, memory: int) -> None:
    """Tell who watches that the command has another deadline in seconds, and may take so many bytes; 0 is no bound."""
    for writer in _WRITER:
        with suppress(OSError):
            os.write(writer, f"{deadline} {memory}\n".encode())


def watched(command: Callable[[], int]) -> int:
    """The exit code of the command, run in a child; 2 where it had to be ended. In one process where Linux is not."""
    if sys.platform != "linux" or "--in-process" in sys.argv:
        return command()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # else the system forgets what became of a child
    heard = {getattr(signal, name) for name in ENDING} | {signal.SIGCHLD}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, heard)
    reader, writer = os.pipe()
    parent = os.getpid()
    try:
        child = os.fork()
    except OSError:  # there may be no more processes: nobody waits then
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        return command()
    if child == 0:
        _WRITER.append(writer)
        os.close(reader)
        _die_with(parent)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        return command()
    os.close(writer)
    os.set_blocking(reader, False)
    return _wait(child, reader, heard)


def _wait(child: int, reader: int, heard: set[signal.Signals]) -> int:
    started, deadline, memory = time.monotonic(), _DEADLINE, _MEMORY
    while True:
        info = signal.sigtimedwait(heard, _TICK)
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else _ended(f"the command was ended by {signal.Signals(-code).name}")
        # After a stop of the whole group, CPython may give what nobody sent: a number that was not waited for.
        if info is not None and info.si_signo in heard - {signal.SIGCHLD} and info.si_code != _OF_TERMINAL:
            with suppress(OSError):
                os.kill(child, info.si_signo)
        with suppress(OSError, ValueError, IndexError):
            said = os.read(reader, 4096).split(b"\n")[-2].split()
            deadline, memory = float(said[0]), int(said[1])
        words = ""
        if deadline and time.monotonic() - started > TIMES * deadline + _MORE:
            words = f"stopped: it went on for {TIMES * deadline + _MORE:g} s (--deadline {deadline:g})"
        elif memory and resident(child) > memory:
            words = f"stopped: it needs more than {memory / (1 << 30):g} GB of memory (--max-memory)"
        if words:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return _ended(words)


def _ended(words: str) -> int:
    with suppress(OSError, AttributeError, ValueError):  # stderr may be closed
        sys.stderr.write(f"analyze: {words}\n")
        sys.stderr.flush()
    return FAILED


def resident(process: int) -> int:
    """Bytes of memory that a process holds, as Linux tells; 0 elsewhere."""
    try:
        with open(f"/proc/{process}/statm", encoding="ascii") as file:  # noqa: PTH123 (pathlib is not yet imported)
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError, AttributeError):
        return 0


def die_with_the_parent() -> None:
    """See that this process is ended when the one that made it is, on Linux."""
    import ctypes

    if sys.platform == "linux":
        with suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(_PARENT_DIED, signal.SIGKILL, 0, 0, 0)


def _die_with(parent: int) -> None:
    """See that the command does not outlive who waits for it."""
    die_with_the_parent()
    if os.getppid() != parent:
        os._exit(FAILED)
