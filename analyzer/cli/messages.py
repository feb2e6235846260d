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
"""Characters of a complaint, unless --debug wants it whole or what to do takes more."""
LONGEST_WITH_ADVICE: Final = 2000
"""Characters of a complaint whose advice, such as a file to write, takes more than a usual line."""
_LEAST_WORDS: Final = 180
"""How much stays of what happened, however long the advice is."""
_CUT: Final = " ... "
_TAIL: Final = 40
"""Characters of what happened that stay behind the cut; what comes first says what is wrong and where."""


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
    """One line on stderr; a long one is cut, unless it is wanted whole, where it says what happened, not what to do."""
    line = logged(f"analyze: {shown(' '.join(text.split()))}")
    _write(f"{line if whole or _debugging() else shortened(line)}\n")


def shortened(line: str) -> str:
    """The line with its words cut in their middle, and the advice that it ends with, in brackets, whole.

    >>> len(shortened("x" * 999)), shortened("x" * 999 + " (run: analyze trace model)")[-31:]
    (300, 'xxxx (run: analyze trace model)')
    """
    if len(line) <= LONGEST:
        return line
    words = line[: _advice(line)]
    advice = line[len(words) :]
    if len(advice) > LONGEST_WITH_ADVICE - _LEAST_WORDS:
        words, advice = line, ""
    room = max(LONGEST - len(advice), _LEAST_WORDS)
    if len(words) <= room:
        return line
    return f"{words[: room - len(_CUT) - _TAIL]}{_CUT}{words[-_TAIL:]}{advice}"


def _advice(line: str) -> int:
    """Where the brackets begin that a line ends with, one or several in a row; its length if it ends with none."""
    begin = len(line)
    while line.endswith(")", 0, begin):
        depth = 0
        for at in range(begin - 1, -1, -1):
            depth += (line[at] == ")") - (line[at] == "(")
            if not depth:
                break
        if depth or line[at - 1 : at] != " ":
            break
        begin = at - 1
    return begin


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
