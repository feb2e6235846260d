"""What the command says on stderr: progress where a person is looking, complaints in one line."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click

from analyzer.printable import logged, shown


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


def complain(text: str) -> None:
    """One line on stderr."""
    click.echo(logged(f"analyze: {shown(' '.join(text.split()))}"), err=True)
