"""Starts the process of a worker, in this interpreter or another, and holds its two pipes."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final, Protocol

from analyzer.errors import AnalyzerError
from analyzer.watched import resident
from analyzer.worker.confinement import scrubbed

_PACKAGE: Final = Path(__file__).resolve().parents[1]
BOOT: Final = """
import sys
sys.path[:] = [path for path in sys.path if path]  # the working directory may be a stranger's
from importlib.util import module_from_spec, spec_from_file_location
spec = spec_from_file_location("analyzer", {init!r}, submodule_search_locations=[{package!r}])
sys.modules["analyzer"] = module_from_spec(spec)
spec.loader.exec_module(sys.modules["analyzer"])
from analyzer.worker.{entry} import main
main()
"""
"""What an interpreter runs that need not have analyzer: this package, by its place, and nothing else of its folder."""
_WORDS: Final = 4096
"""Bytes at the end of what a worker wrote on stderr that are looked at for its last words."""
_END: Final = 2.0
"""Seconds that a worker has to leave once nobody asks it any more."""
_MOMENT: Final = 0.05
"""Seconds between two tries to tell it."""


class Channel(Protocol):
    """A running worker: two pipes, and what can be done to it from outside."""

    reader: IO[bytes]

    def write(self, data: bytes, patience: float) -> bool:
        """Say something; whether it was taken within so many seconds, which a worker that does not read prevents."""

    def memory(self) -> int:
        """Bytes of memory that it holds; 0 where that cannot be told."""

    def kill(self) -> None:
        """End it at once."""

    def end(self) -> None:
        """Let it leave, and end it if it does not."""

    def last_words(self) -> str:
        """Why it is gone, as far as that can be told."""


Launch = Callable[[Path], Channel]
"""Starts a worker that keeps its files in a scratch folder."""


def boot(entry: str) -> str:
    """The program of a worker that begins in a module of this room."""
    return BOOT.format(init=str(_PACKAGE / "__init__.py"), package=str(_PACKAGE), entry=entry)


@dataclass(frozen=True, slots=True)
class Fresh:
    """A process of its own for one conversation, run by `python`; with `debug` it writes on this stderr."""

    python: str = ""
    debug: bool = False

    def __call__(self, scratch: Path) -> Channel:
        """Start it. Raises AnalyzerError where the interpreter cannot be started."""
        python = self.python or sys.executable
        words = tempfile.TemporaryFile()  # noqa: SIM115 (without a name, so that the worker cannot put a link there)
        try:
            process = subprocess.Popen(
                [python, "-c", boot("worker_main")],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=None if self.debug else words,
                env=scrubbed(os.environ, str(scratch)),
                start_new_session=True,  # Ctrl-C is the front's to hear, which then asks for what there is
                bufsize=0,
            )
        except OSError as error:
            words.close()
            where = error.strerror if os.sep in python else "it is not on PATH"
            hint = "--python takes a Python interpreter, such as .venv/bin/python"
            raise AnalyzerError(f"{python} cannot be started: {where}", hint=hint) from error
        return _Process(process, words)


class _Process:
    def __init__(self, process: subprocess.Popen[bytes], words: IO[bytes]) -> None:
        assert process.stdin is not None and process.stdout is not None  # both are pipes
        self.reader: IO[bytes] = os.fdopen(os.dup(process.stdout.fileno()), "rb")
        process.stdout.close()
        self._writer = process.stdin
        self._process, self._words = process, words

    def write(self, data: bytes, patience: float) -> bool:
        return written(self._writer.fileno(), data, patience)

    def memory(self) -> int:
        return resident(self._process.pid)

    def kill(self) -> None:
        self._process.kill()

    def end(self) -> None:
        with suppress(OSError):
            self._writer.close()
        try:
            self._process.wait(_END)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self.reader.close()
        self._words.close()

    def last_words(self) -> str:
        try:
            self._process.wait(_END)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            return "the process that traces closed its pipe"
        return gone(self._process.returncode, self._words)


def written(pipe: int, data: bytes, patience: float) -> bool:
    """Write all of the data into a pipe; False where nobody reads it for as many seconds."""
    if sys.platform == "win32":  # where no pipe can be waited for
        os.write(pipe, data)
        return True
    os.set_blocking(pipe, False)
    left, end = memoryview(data), time.monotonic() + patience
    while left:
        try:
            left = left[os.write(pipe, left) :]
        except BlockingIOError:
            if time.monotonic() > end:
                return False
            select.select((), (pipe,), (), _MOMENT)
    return True


def gone(code: int | None, words: IO[bytes]) -> str:
    """Why a worker is gone, from its exit status and the last line that it wrote on stderr."""
    if code is not None and code < 0:
        name = signal.Signals(-code).name if -code in {int(one) for one in signal.Signals} else f"signal {-code}"
        why = "; the system kills what takes too much memory" if name == "SIGKILL" else ""
        return f"the process that traces was ended by {name}{why}"
    with suppress(OSError, ValueError):
        words.seek(max(words.seek(0, os.SEEK_END) - _WORDS, 0))
    said = words.read(_WORDS) if not words.closed else b""
    lines = said.decode("utf-8", "replace").strip().splitlines()
    last = f": {lines[-1]}" if lines else ""
    return f"the process that traces ended with status {code}{last}"
