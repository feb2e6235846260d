"""What the command says on stderr: progress where a person is looking, complaints in one line."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import click

from analyzer.printable import logged, shown

LONGEST: Final = 300
"""Characters of a complaint, unless --debug wants it whole."""
_HEAD: Final = 140
_CUT: Final = " ... "
_FILE: Final = "def inputs(config):"
"""What a line holds that prints a file to begin with, which would not work without its middle."""


@contextmanager
def progress() -> Iterator[Callable[[str], None]]:
    """A line on stderr that says what is going on; nothing when stderr is no terminal."""
    if sys.stderr is None or not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console
    from rich.text import Text

    with Console(stderr=True).status("starting") as status:
        yield lambda text: status.update(Text(shown(text)))


def say(text: str) -> None:
    """One line on stderr that is no complaint."""
    _write(f"{logged(shown(text))}\n")


def complain(text: str, whole: bool = False) -> None:
    """One line on stderr: what happened and what to do are at its ends.

    It is cut in its middle unless it is wanted whole, or prints a file.
    """
    line = logged(f"analyze: {shown(' '.join(text.split()))}")
    if len(line) > LONGEST and not (whole or _FILE in line or _debugging()):
        line = f"{line[:_HEAD]}{_CUT}{line[_HEAD + len(_CUT) - LONGEST :]}"
    _write(f"{line}\n")


def complain_of_fault(error: Exception, before: str = "", kind: str = "", whole: bool = False) -> None:
    """One line on an error that only a fault in analyze explains, below its traceback where that is asked for."""
    if whole or _debugging():
        show_traceback(error)
    words = f"{before}unexpected {kind or type(error).__name__}: {error}"
    complain(f"{words} (a fault in analyze; run again with --debug)", whole)


def show_traceback(error: Exception) -> None:
    """The traceback of an error, with nothing that a terminal or a log obeys."""
    _write(logged(shown("".join(traceback.format_exception(error)), "\n")))


def silence(number: int) -> None:
    """Lead stdout or stderr nowhere: else the interpreter would fail once more, and exit with 120, when it flushes."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, number)
    os.close(nowhere)


def _write(text: str) -> None:
    try:
        click.echo(text, err=True, nl=False)
    except OSError:  # nobody hears it any more
        silence(2)


def _debugging() -> bool:
    context = click.get_current_context(silent=True)
    return context is not None and bool(context.params.get("debug"))
