"""A warm worker: a process that imported everything once, and forks a worker in milliseconds for each conversation."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import IO, Final

from analyzer.errors import AnalyzerError
from analyzer.watched import resident
from analyzer.worker.channel import Channel, boot, gone, written
from analyzer.worker.confinement import scrubbed

_ANSWER: Final = 1 << 10
"""Bytes of the answer to a fork: the number of the process."""


class Warm:
    """Starts workers by forking one that is warm; needs an operating system that forks. `close` ends it."""

    def __init__(self, scratch: Path, python: str = "") -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        self._words: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 (it lasts as long as the process)
        with theirs:
            self._process = subprocess.Popen(
                [python or sys.executable, "-c", boot("fork_server"), str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=self._words,
                stderr=self._words,
                env=scrubbed(os.environ, str(scratch)),
                pass_fds=(theirs.fileno(),),
                start_new_session=True,
            )
        self._socket = ours

    def __call__(self, scratch: Path) -> Channel:
        """Fork a worker. Raises AnalyzerError where the warm one is gone."""
        (their_reader, writer), (reader, their_writer) = os.pipe(), os.pipe()
        place = {"scratch": str(scratch), "folder": str(Path.cwd())}
        words = tempfile.TemporaryFile()  # noqa: SIM115 (it lasts as long as the worker)
        try:
            theirs = (their_reader, their_writer, words.fileno())
            socket.send_fds(self._socket, [json.dumps(place).encode()], theirs)
            pid = int(self._socket.recv(_ANSWER))
        except (OSError, ValueError) as error:
            raise AnalyzerError(f"no warm worker: {gone(self._process.poll(), self._words)}") from error
        finally:
            os.close(their_reader)
            os.close(their_writer)
        return _Forked(pid, os.fdopen(reader, "rb"), writer, words)

    def close(self) -> None:
        """End the warm process; workers that it forked go on to their end."""
        self._socket.close()
        self._process.wait()
        self._words.close()


class _Forked:
    def __init__(self, pid: int, reader: IO[bytes], writer: int, words: IO[bytes]) -> None:
        self._pid, self._words = pid, words
        self._handle = os.pidfd_open(pid) if hasattr(os, "pidfd_open") else -1
        self.reader, self._writer = reader, writer

    def write(self, data: bytes, patience: float) -> bool:
        return written(self._writer, data, patience)

    def memory(self) -> int:
        return resident(self._pid)

    def kill(self) -> None:
        with suppress(ProcessLookupError):
            if self._handle >= 0:  # the number alone might be another process by now
                signal.pidfd_send_signal(self._handle, signal.SIGKILL)
            else:
                os.kill(self._pid, signal.SIGKILL)

    def end(self) -> None:
        """It leaves by itself when its pipe is closed, in the middle of its work too."""
        with suppress(OSError):
            os.close(self._writer)
        self.reader.close()
        self._words.close()
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1

    def last_words(self) -> str:
        return gone(None, self._words)
