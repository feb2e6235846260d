"""Makes a process the command's own: three open streams, and no words of libraries on them."""

from __future__ import annotations

import logging
import os
import sys
import threading
import warnings
from typing import TextIO


def prepare(debug: bool) -> None:
    """Before anything else is imported; with `debug`, what libraries say stays to be read."""
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:  # else the next file that is opened would be taken for it
            os.open(os.devnull, os.O_RDWR)
    for stream in (sys.stdout, sys.stderr):
        _never_refuse(stream)
    if not debug:
        warnings.simplefilter("ignore")
        logging.getLogger().addHandler(logging.NullHandler())
        sys.unraisablehook = lambda _: None
        threading.excepthook = lambda _: None


def _never_refuse(stream: TextIO | None) -> None:
    """Have a letter that the stream's encoding lacks written as an escape."""
    if stream is not None and (change := getattr(stream, "reconfigure", None)):
        change(errors="backslashreplace")
