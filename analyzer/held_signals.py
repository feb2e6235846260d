"""Signals that end the command wait while something is done that must not be left half done."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

ENDING: Final = ("SIGINT", "SIGTERM", "SIGHUP")
"""Signals that a person or a system ends a command with."""


@contextmanager
def signals_held() -> Iterator[None]:
    """While this lasts, a signal that would raise is only noted; afterwards it does what it does."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    heard: list[int] = []
    numbers = [getattr(signal, name) for name in ENDING if hasattr(signal, name)]
    before = {number: handler for number in numbers if callable(handler := signal.getsignal(number))}
    try:
        for number in before:
            signal.signal(number, lambda number, _: heard.append(number))
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for number in heard[:1]:
            signal.raise_signal(number)
