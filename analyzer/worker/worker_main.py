"""The worker's own side: confines itself, then answers one request after the other until nobody asks any more."""

from __future__ import annotations

import os
import queue
import re
import signal
import sys
import traceback
import warnings
from _thread import interrupt_main
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from threading import Thread, main_thread
from typing import TYPE_CHECKING, BinaryIO, Final

from analyzer.errors import AnalyzerError, Interrupted
from analyzer.watched import die_with_the_parent
from analyzer.worker import debug_log, protocol
from analyzer.worker.bytecode import compile_once
from analyzer.worker.confinement import Confined, Rules, confine, interpreter_paths
from analyzer.worker.named_models import put
from analyzer.worker.protocol import Emit, Request, Setup

if TYPE_CHECKING:
    from analyzer.worker.request_handler import RequestHandler

_NEEDED: Final = ("torch", "transformers", "networkx", "numpy", "safetensors", "yaml")
"""What an interpreter must have to trace."""
_OLDEST: Final = {"torch": (2, 6), "transformers": (4, 36)}
"""The first release of each that a worker runs with."""
_LARGEST: Final = 2 << 30
"""Bytes of a file that a worker may write."""
_LONGEST: Final = 100_000
"""Characters of one text of an event: a library may put the whole of a config into an error."""


def main() -> None:
    """Talk on standard input and output, which from here on are nobody else's."""
    compile_once()
    try:
        converse(_own_stdin(), _own_stdout())
    finally:
        sys.stderr.flush()
        os._exit(0)  # what the model's code wants done at the end is not waited for


def converse(requests: BinaryIO, events: BinaryIO) -> None:
    """One conversation: the set-up, then requests, until the front closes its end."""

    def emit(event: protocol.Event, /, **texts: str) -> None:
        said = {name: text[:_LONGEST] for name, text in texts.items()}
        with _undisturbed():
            events.write(protocol.line({"event": event, **said}))
            events.flush()

    die_with_the_parent()
    try:
        setup = Setup.from_json(protocol.read_line(requests.readline(protocol.LINE)))
    except (ValueError, TypeError, KeyError, AnalyzerError) as error:
        emit("error", **_refused(AnalyzerError(str(error))))
        return
    put(Path(setup.scratch), setup.lent)
    emit("hello", python=sys.version.split()[0])
    emit("confined", line=_confine(setup, requests, events).line())
    if setup.packages:  # not before: what lies there is not run unconfined
        sys.path.insert(0, setup.packages)
    if setup.debug:
        debug_log.to_stderr()
    else:
        quiet()
    mailbox = _Mailbox(requests)
    handler: RequestHandler | None = None
    while (message := mailbox.next()) is not None:
        try:
            if handler is None:
                handler = _handler(Path(setup.scratch), emit)
            emit("answer", file=handler.answer(message))
        except Interrupted as error:
            emit("error", **_refused(AnalyzerError(str(error))))
        except AnalyzerError as error:
            emit("error", **_refused(error))
        except ModuleNotFoundError as error:
            emit("error", **(_refused(_lacking(error)) if error.name in _NEEDED else _fault(error)))
        except MemoryError:
            emit("error", **_refused(AnalyzerError("it needs more memory than the worker may have (--max-memory)")))
        except Exception as error:
            emit("error", **_fault(error))


def _handler(scratch: Path, emit: Emit) -> RequestHandler:
    _check_releases()
    import torch

    from analyzer.worker.request_handler import RequestHandler

    torch.set_num_threads(1)  # what runs for real is small, and threads that wait for each other slow it down
    return RequestHandler(scratch, emit)


class _Mailbox:
    """Requests as they come; the word to stop reaches the main thread in the middle of its work."""

    def __init__(self, requests: BinaryIO) -> None:
        self._requests = requests
        self._messages: queue.SimpleQueue[Request | None] = queue.SimpleQueue()
        self._ended = Interrupted("stopped")
        self._busy, self._heard = False, False
        signal.signal(signal.SIGTERM, self._told)
        Thread(target=self._read, daemon=True).start()

    def next(self) -> Request | None:
        """The next request; None when the front has gone."""
        self._busy, self._heard = False, False
        message = self._messages.get()
        self._busy = True
        return message

    def _read(self) -> None:
        while raw := self._requests.readline(protocol.LINE):
            try:
                message = protocol.read_request(raw)
            except ValueError:
                break
            if message.get("action") == protocol.STOP:
                self._ended = Interrupted(str(message.get("words")), str(message.get("hint")))
                _raise_in_main_thread(signal.SIGTERM)
            else:
                self._messages.put(message)
        self._messages.put(None)
        if self._busy:  # nobody waits for the answer
            os._exit(0)

    def _told(self, *_: object) -> None:
        if self._busy:
            self._busy, self._heard = False, True  # once is enough: what follows is how it answers
            raise self._ended
        if not self._heard:
            os._exit(0)  # nothing was begun, and nothing shall be


def _raise_in_main_thread(number: signal.Signals) -> None:
    """Raise a signal there; where the system can, a real one, which also wakes it out of a system call."""
    if hasattr(signal, "pthread_kill") and (ident := main_thread().ident) is not None:
        signal.pthread_kill(ident, number)
    else:
        interrupt_main(number)


@contextmanager
def _undisturbed() -> Iterator[None]:
    """While this lasts, the word to stop waits: half an event is none."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _own_stdin() -> BinaryIO:
    """Standard input for requests alone; who else reads it finds it at its end."""
    kept = os.dup(0)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    return os.fdopen(kept, "rb")


def _own_stdout() -> BinaryIO:
    """Standard output for events alone; what a model's code prints goes to stderr."""
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    return os.fdopen(kept, "wb")


def _confine(setup: Setup, *pipes: BinaryIO) -> Confined:
    packages = (setup.packages,) if setup.packages else ()
    rules = Rules((*interpreter_paths(), *packages, *setup.readable), (setup.scratch,), setup.address_space, _LARGEST)
    return confine(rules, keep=tuple(pipe.fileno() for pipe in pipes))


def quiet() -> None:
    """Have libraries that are imported later keep their remarks on a config to themselves."""
    for name in ("TRANSFORMERS_VERBOSITY", "DIFFUSERS_VERBOSITY"):
        os.environ.setdefault(name, "error")
    if not sys.warnoptions:
        warnings.simplefilter("ignore")


def _refused(error: AnalyzerError) -> Mapping[str, str]:
    return {"kind": "refused", "type": type(error).__name__, "message": error.message, "hint": error.hint,
            "traceback": traceback.format_exc()}  # fmt: skip


def _lacking(error: ModuleNotFoundError) -> AnalyzerError:
    return AnalyzerError(f"{sys.executable} has no {error.name}", hint=f"{sys.executable} -m pip install {error.name}")


def _check_releases() -> None:
    """Raise AnalyzerError where torch or transformers is older than what a worker runs with."""
    from importlib.metadata import PackageNotFoundError, version

    for name, oldest in _OLDEST.items():
        try:
            found = version(name)
        except PackageNotFoundError:
            continue  # the import says so
        if tuple(int(part) for part in re.findall(r"\d+", found)[:2]) < oldest:
            least = ".".join(map(str, oldest))
            message = f"{sys.executable} has {name} {found}, and analyze runs with {least} and later"
            raise AnalyzerError(message, hint="name another one with --python, or another release with --with")


def _fault(error: Exception) -> Mapping[str, str]:
    return {"kind": "fault", "type": type(error).__name__, "message": str(error), "hint": "",
            "traceback": traceback.format_exc()}  # fmt: skip
