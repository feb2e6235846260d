"""With --debug: writes what analyze logs, such as the traceback of a run that stopped, to stderr."""

from __future__ import annotations

import logging
import sys
from typing import Final

from analyzer.printable import logged, shown

LOGGER: Final = "analyzer"


def to_stderr() -> None:
    """From now on what is logged is written, once for each process."""
    logger = logging.getLogger(LOGGER)
    if any(type(one.formatter) is _Harmless for one in logger.handlers):
        return
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Harmless())
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    logger.propagate = False


class _Harmless(logging.Formatter):
    """Lines that hold nothing which a terminal or a CI's log obeys: a traceback holds the model's own words."""

    def format(self, record: logging.LogRecord) -> str:
        return logged(shown(super().format(record), "\n"))
