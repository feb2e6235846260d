"""A worker that is this very process, for debugging: nothing is confined or bounded, and errors come as they are."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Final

from analyzer.worker import debug_log
from analyzer.worker.process import Answer, Tell
from analyzer.worker.protocol import Action, Event, Wanted

if TYPE_CHECKING:
    from analyzer.worker.request_handler import RequestHandler


_CACHES: Final = ("TORCHINDUCTOR_CACHE_DIR", "TRITON_CACHE_DIR", "TORCH_EXTENSIONS_DIR", "MPLCONFIGDIR")
"""Where libraries make folders when they are imported, unless these say otherwise."""


@contextmanager
def caches_in(scratch: Path) -> Iterator[None]:
    """While this lasts, what is imported makes its folders in there."""
    ours = {name: str(scratch / name.lower()) for name in _CACHES if name not in os.environ}
    os.environ.update(ours)
    try:
        yield
    finally:
        for name in ours:
            os.environ.pop(name, None)


class InProcess:
    """Answers as a worker does, by the same code."""

    def __init__(self, scratch: Path, debug: bool = False) -> None:
        if debug:
            debug_log.to_stderr()
        self._scratch = scratch
        self._tell: Tell = lambda _: None
        # by its name: the front must not reach torch by any import that is written down
        made = import_module("analyzer.worker.request_handler").RequestHandler
        self._handler: RequestHandler = made(scratch, self._emit)

    def ask(self, action: Action, data: Wanted, tell: Tell) -> Answer:
        """Answer here and now; raises whatever is raised."""
        self._tell = tell
        with redirect_stdout(sys.stderr):  # what the model's code prints
            name = self._handler.answer({"action": action, **data})
        return Answer((self._scratch / name).read_bytes())

    def _emit(self, event: Event, /, **texts: str) -> None:
        if event == "step":
            self._tell(texts["text"])
