"""One worker as the front sees it: asks it, passes on what it says, and ends it when time, memory or a person ends."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Thread
from typing import Final

from analyzer.errors import AnalyzerError
from analyzer.foreign.data import containers
from analyzer.report.reader import CONTAINERS, LARGEST
from analyzer.worker import protocol
from analyzer.worker.channel import Channel, Launch
from analyzer.worker.protocol import Action, Setup, Wanted
from analyzer.worker.scratch import scratch_folder

Tell = Callable[[str], None]
TICK: Final = 0.2
"""Seconds between two looks at the clock and at the worker's memory."""
GRACE: Final = 10.0
"""Seconds that a worker has to answer with what there is once it was told to stop."""
STARTING: Final = 180.0
"""Seconds that a worker has to read a request: before the first it may have to compile torch."""
ANSWER: Final = LARGEST
"""Bytes that an answer may have: the longest is a report."""
_WAITING: Final = 256
"""Lines that wait to be heard; a worker that says more waits itself."""
SAID: Final = 1 << 16
"""Events of one answer; a worker that says more is ended."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """How far a worker may go: seconds and bytes, 0 for no bound, and whether it must be confined."""

    deadline: float = 300.0
    max_memory: int = 8 << 30
    require_confined: bool = False


@dataclass(frozen=True, slots=True)
class WorkerOptions:
    """How the command runs its workers."""

    python: str = ""
    """Another interpreter; "" is the one that runs the command."""
    bounds: Bounds = Bounds()
    in_process: bool = False
    debug: bool = False
    packages: tuple[str, ...] = ()
    """Requirements that are installed beside the interpreter's packages, and come before these."""


@dataclass(frozen=True, slots=True)
class Ended:
    """Why a run ended before its end, and the exit code that this makes."""

    code: int
    words: str
    hint: str = ""
    """What helps, where something does."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a worker answered; `ended` where it is only what there was when it was told to stop."""

    data: bytes
    ended: Ended | None = None


class Signalled(BaseException):
    """A signal asked the command to end."""

    def __init__(self, code: int, words: str) -> None:
        super().__init__(words)
        self.ended = Ended(code, words)


class EndedError(AnalyzerError):
    """The run ended before its end, and there is nothing to show."""

    def __init__(self, ended: Ended) -> None:
        super().__init__(ended.words)
        self.code = ended.code


class RemoteTraceback(Exception):
    """The traceback of an error where it was raised, in the worker; --debug shows it as the cause."""


class WorkerFault(Exception):
    """A fault in analyze itself, as the worker saw it."""

    def __init__(self, kind: str, words: str) -> None:
        super().__init__(words)
        self.kind = kind


@contextmanager
def started(launch: Launch, how: WorkerOptions, setup: Setup, warn: Tell) -> Iterator[Worker]:
    """A worker for as long as this lasts, with a scratch folder of its own; `warn` hears that it is not confined."""
    with scratch_folder() as scratch:
        channel = launch(scratch)
        worker = Worker(channel, scratch, how, warn)
        try:
            worker.send(replace(setup, scratch=str(scratch)).to_json())
            yield worker
        finally:
            worker.closed = True
            channel.end()


class Worker:
    """A conversation with one process."""

    def __init__(self, channel: Channel, scratch: Path, how: WorkerOptions, warn: Tell) -> None:
        self.channel, self.scratch, self.how, self.warn = channel, scratch, how, warn
        self.lines: queue.Queue[bytes] = queue.Queue(_WAITING)
        """What it says, as it comes; an empty line is its end."""
        self.closed = False
        self.begun = time.monotonic()
        self.greeted = False
        """Whether it has said anything: only a worker does."""
        Thread(target=self._read, daemon=True).start()

    def send(self, message: Mapping[str, object], patience: float = STARTING) -> None:
        """Say something; a worker that is gone does not hear it, and is found gone when it is waited for."""
        with suppress(OSError, ValueError):
            if not self.channel.write(protocol.line(message), patience):
                self.channel.kill()  # it does not read, so that nothing else can be said to it

    def ask(self, action: Action, data: Wanted, tell: Tell) -> Answer:
        """Ask for something and wait; `tell` hears each step in a few words.

        Raises AnalyzerError for what a person can act on, EndedError where the run was ended and left nothing,
        WorkerFault for a fault in analyze.
        """
        self.send({"action": action, **data})
        waiting = _Waiting(self, tell)
        while True:
            try:
                answer = waiting.step()
            except KeyboardInterrupt:
                waiting.stop(Ended(130, "interrupted"))
                continue
            except Signalled as signal:
                waiting.stop(signal.ended)
                continue
            if answer is not None:
                return answer

    def _read(self) -> None:
        with suppress(OSError, ValueError):  # the pipe is closed while it is read
            while raw := self.channel.reader.readline(protocol.LINE + 1):
                self._put(raw)
        self._put(b"")

    def _put(self, raw: bytes) -> None:
        """Keep a line until it is asked for; what nobody will ask for any more is dropped."""
        while not self.closed:
            with suppress(queue.Full):
                return self.lines.put(raw, timeout=TICK)


class _Waiting:
    """The wait for one answer."""

    def __init__(self, worker: Worker, tell: Tell) -> None:
        self._worker, self._tell = worker, tell
        self._ended: Ended | None = None
        self._partial = ""
        self._said = 0
        self._last = 0.0
        """When a worker that was told to stop is ended."""
        self._next_look = 0.0

    def step(self) -> Answer | None:
        """Wait a moment; the answer, if it came."""
        if (now := time.monotonic()) > self._next_look:  # also of one that never stops talking
            self._next_look = now + TICK
            if (left := self._looked()) is not None:
                return left
        try:
            raw = self._worker.lines.get(timeout=TICK)
        except queue.Empty:
            return None
        if not raw:
            return self._left(Ended(2, self._why_gone()))
        self._said += 1
        try:
            if self._said > SAID:
                raise ValueError("it never stops talking")
            event = protocol.read_event(raw)
            return self._heard(event)
        except (ValueError, KeyError, OSError) as error:
            self._worker.channel.kill()
            raise AnalyzerError(f"the worker said what it may not say: {error}", hint="nothing was written") from error

    def stop(self, ended: Ended) -> None:
        """Ask for what there is; the second time, end the worker."""
        if self._ended is not None:
            self._worker.channel.kill()
            raise EndedError(ended)
        self._ended, self._last = ended, time.monotonic() + GRACE
        self._worker.send({"action": protocol.STOP, "words": ended.words, "hint": ended.hint}, GRACE / 2)

    def _heard(self, event: dict[str, str]) -> Answer | None:
        kind = event["event"]
        self._worker.greeted = True
        if kind == "step":
            self._tell(event["text"])
        elif kind == "confined":
            self._confined(event["line"])
        elif kind == "partial":
            self._partial = event["file"]
        elif kind == "answer":
            return Answer(self._data(event["file"]), self._ended)
        elif kind == "error":
            return self._failed(event)
        return None

    def _confined(self, line: str) -> None:
        if line and self._worker.how.bounds.require_confined:
            self._worker.channel.kill()
            raise AnalyzerError(f"{line}, and --require-confined is given", hint="run it on Linux 5.13 or later")
        if line:
            self._worker.warn(line)

    def _failed(self, event: dict[str, str]) -> Answer:
        if self._ended is not None:
            return self._left(self._ended)
        if event["kind"] == "refused":
            raise AnalyzerError(event["message"], hint=event["hint"]) from RemoteTraceback(event["traceback"])
        raise WorkerFault(event["type"], event["message"]) from RemoteTraceback(event["traceback"])

    def _why_gone(self) -> str:
        words = self._worker.channel.last_words()
        if self._worker.greeted or not self._worker.how.python:
            return words
        return f"{self._worker.how.python} is no Python of 3.10 or later that can run a worker: {words}"

    def _looked(self) -> Answer | None:
        """Whether time or memory is up."""
        now, bounds, channel = time.monotonic(), self._worker.how.bounds, self._worker.channel
        if bounds.max_memory and channel.memory() > bounds.max_memory:
            channel.kill()
            limit = f"{bounds.max_memory / (1 << 30):g}"
            return self._left(Ended(2, f"stopped: it needs more than {limit} GB of memory (--max-memory)"))
        if self._ended is not None and now > self._last:
            channel.kill()
            return self._left(self._ended)
        if self._ended is None and bounds.deadline and now - self._worker.begun > bounds.deadline:
            self.stop(Ended(2, f"stopped after {bounds.deadline:g} s (--deadline)", "allow more time"))
        return None

    def _left(self, ended: Ended) -> Answer:
        """What a worker that is gone left; raises EndedError if that is nothing."""
        ended = self._ended or ended
        if not self._partial:
            raise EndedError(ended)
        try:
            return Answer(self._data(self._partial), ended)
        except (ValueError, OSError) as error:
            raise EndedError(ended) from error

    def _data(self, name: str) -> bytes:
        data = protocol.answer_file(self._worker.scratch, name, ANSWER)
        if containers(data) > CONTAINERS:
            raise ValueError("the answer holds more than any report does")
        return data
