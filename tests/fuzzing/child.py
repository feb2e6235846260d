"""The inside of the child that runs the command on one input: its streams, its limits, and its eye on the worker."""

from __future__ import annotations

import faulthandler
import os
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Final, NoReturn

from analyzer import cli, pipeline
from analyzer.worker import process
from analyzer.worker.channel import Channel, Launch
from tests.fuzzing.inputs import Place
from tests.fuzzing.payloads import NAME, SAID

FACTS: Final = "facts"
"""The file that tells about workers: `worker PID`, `peak KIB`, `ran`."""
STUCK: Final = "stuck"
"""The file that holds where the front or the worker was when it had to be ended, innermost call first."""
ASKED: Final = getattr(signal, "SIGUSR1", signal.SIGTERM)
"""The signal on which either writes that."""
_MOMENT: Final = 0.2
OUT, ERR = "stdout", "stderr"
TRACEBACK: Final = "traceback"
"""The file that holds where the worker or the front failed."""
_SPACE: Final = 8 << 30
"""Bytes of address space of the front, so that a fault of it does not take the machine."""
_ANSWERS: Final = b"y\n" * 2000
"""What a prompt would read."""


def run(place: Place, argv: Sequence[str], launch: Launch, debug: bool) -> NoReturn:
    """Be the command, with a worker from `launch`, and never come back."""
    code = 99
    try:
        _settle(place)
        pipeline.Fresh = _always(Watched(launch, place.root / FACTS))  # type: ignore[attr-defined]
        _keep_tracebacks(place.root / TRACEBACK)
        if debug:
            argv = [*argv, "--debug"]
        code = cli.main(list(argv))
        sys.stdout.flush()
        sys.stderr.flush()
    except BaseException as error:
        os.write(2, f"escaped from main: {type(error).__name__}: {error!s:.200}\n".encode(errors="replace"))
    finally:
        os._exit(code)


def _settle(place: Place) -> None:
    os.setsid()
    os.chdir(place.work)
    asked, answers = os.pipe()
    os.write(answers, _ANSWERS)
    os.close(answers)
    os.dup2(asked, 0)
    for number, name in ((1, OUT), (2, ERR)):
        os.dup2(os.open(place.root / name, os.O_CREAT | os.O_WRONLY | os.O_TRUNC), number)
    # the names of a parent that is tested lead to what captures its output
    sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", encoding="utf-8", errors="backslashreplace", closefd=False)  # noqa: SIM115
    tmp, home = place.own
    os.environ.update(TMPDIR=str(tmp), HOME=str(home), COLUMNS="200")
    tempfile.tempdir = None
    faulthandler.register(ASKED, file=os.open(place.root / STUCK, os.O_CREAT | os.O_WRONLY), all_threads=False)
    import resource

    resource.setrlimit(resource.RLIMIT_AS, (_SPACE, _SPACE))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _always(launch: Launch) -> Callable[[str, bool], Launch]:
    return lambda python, debug: launch


class Watched:
    """Starts workers as another launch does, and writes down what they take and leave."""

    def __init__(self, launch: Launch, facts: Path) -> None:
        self._launch, self._facts = launch, facts

    def __call__(self, scratch: Path) -> Channel:
        """Start one. Raises AnalyzerError as the launch does."""
        return _Seen(self._launch(scratch), scratch, self._facts)


class _Seen:
    def __init__(self, inner: Channel, scratch: Path, facts: Path) -> None:
        self._inner, self._scratch, self._facts = inner, scratch, facts
        self._pid = int(getattr(inner, "_pid", 0))
        self._words: IO[bytes] = getattr(inner, "_words")  # noqa: B009 (a warm worker's own)
        self.reader = inner.reader
        self._tell(f"worker {self._pid}")

    def write(self, data: bytes, patience: float) -> bool:
        return self._inner.write(data, patience)

    def memory(self) -> int:
        self._look()
        return self._inner.memory()

    def kill(self) -> None:
        """End it, and keep where it was: the command kills what takes too much or does not stop."""
        self._look()
        with suppress(OSError):
            os.kill(self._pid, ASKED)
            time.sleep(_MOMENT)
            (self._facts.with_name(STUCK)).write_bytes(self._said())
        self._inner.kill()

    def end(self) -> None:
        self._look()
        if (self._scratch / NAME).exists() or SAID in self._said():
            self._tell("ran")
        self._inner.end()

    def last_words(self) -> str:
        return self._inner.last_words()

    def _said(self) -> bytes:
        self._words.seek(0)
        return self._words.read(1 << 20)

    def _look(self) -> None:
        try:
            status = Path(f"/proc/{self._pid}/status").read_text(encoding="utf-8")
        except OSError:
            return
        for line in status.splitlines():
            if line.startswith("VmHWM:"):
                self._tell(f"peak {line.split()[1]}")

    def _tell(self, line: str) -> None:
        with self._facts.open("a", encoding="utf-8") as file:
            file.write(line + "\n")


def _keep_tracebacks(file: Path) -> None:
    """Write down the first traceback of the worker or the front: where it failed, or was when it was told to stop."""
    failed, unexpected = process._Waiting._failed, cli._unexpected

    def keep(text: str) -> None:
        if not file.exists():
            file.write_text(text, encoding="utf-8", errors="replace")

    def keeping_failed(self: process._Waiting, event: dict[str, str]) -> process.Answer:
        keep(event["traceback"])
        return failed(self, event)

    def keeping_unexpected(error: Exception, args: Sequence[str]) -> int:
        keep(traceback.format_exc())
        return unexpected(error, args)

    process._Waiting._failed = keeping_failed  # type: ignore[method-assign]
    cli._unexpected = keeping_unexpected
