"""The command: arguments in, exit code out; nothing heavy is imported before it is needed."""

from __future__ import annotations

import errno
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import click

from analyzer import __version__
from analyzer.cli.check import check_command
from analyzer.cli.diff import diff_command
from analyzer.cli.draw import draw_command
from analyzer.cli.examples import EXAMPLES
from analyzer.cli.exit_codes import CLEAN, FAILED, FOUND, INTERRUPTED
from analyzer.cli.explain import explain_command
from analyzer.cli.fix import fix_command
from analyzer.cli.messages import complain, complain_of_fault, show_traceback, silence
from analyzer.cli.trace import trace_command
from analyzer.errors import AnalyzerError
from analyzer.worker.process import EndedError, Signalled, WorkerFault

__all__ = ["CLEAN", "FAILED", "FOUND", "main"]

_ENDING: Final = {"SIGINT": "interrupted", "SIGTERM": "terminated", "SIGHUP": "the terminal is gone"}
"""Signals that end the command, and how that is told."""

_FULL: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)
"""Errors of a place that takes no more."""
_SETTINGS: Final = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code; every error is one line on stderr."""
    args = list(sys.argv[1:] if argv is None else argv)
    whole = "--debug" in args
    try:
        Path.cwd()
    except FileNotFoundError:
        complain("the current folder is gone (change into another one)")
        return FAILED
    try:
        with _ended_by_signals():
            return int(cli.main(args, prog_name="analyze", standalone_mode=False) or CLEAN)
    except click.ClickException as error:
        complain(error.format_message(), whole)
    except (KeyboardInterrupt, click.Abort):
        complain("interrupted")
        return INTERRUPTED
    except Signalled as signalled:
        complain(signalled.ended.words)
        return signalled.ended.code
    except _ReaderLeft:
        silence(1)  # of a help or a page; what is judged is guarded where it is printed
        return CLEAN
    except OSError as error:
        if error.errno not in _FULL:
            return _unexpected(error, whole)
        silence(1)
        complain(f"the output cannot be written: {error.strerror}")
    except Exception as error:
        return _unexpected(error, whole)
    return FAILED


def _unexpected(error: Exception, whole: bool) -> int:
    """Tell an error in one line, or whole where that is asked for; gives the exit code."""
    if not isinstance(error, AnalyzerError):
        complain_of_fault(error, kind=error.kind if isinstance(error, WorkerFault) else "", whole=whole)
        return FAILED
    if whole:
        show_traceback(error)
    complain(str(error), whole)
    return error.code if isinstance(error, EndedError) else FAILED


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """While this lasts, such a signal ends the command in one way: what there is is still written."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = [getattr(signal, name) for name in _ENDING if hasattr(signal, name)]
    heeded = [number for number in numbers if signal.getsignal(number) != signal.SIG_IGN]  # not what nohup ignores
    before = {number: signal.signal(number, _signalled) for number in heeded}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _signalled(number: int, _: object) -> None:
    name = signal.Signals(number).name
    raise Signalled(128 + number, _ENDING[name])


def _print_version(context: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted and not context.resilient_parsing:
        click.echo(f"analyze {__version__} (torch {_installed('torch')}, transformers {_installed('transformers')})")
        context.exit()


def _installed(package: str) -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(package)
    except PackageNotFoundError:  # the worker may have another interpreter
        return "not installed"


class _ReaderLeft(Exception):
    """Whoever read stdout has closed it."""


class _Commands(click.Group):
    """The commands; click itself would exit with 1 where stdout is closed before its end, or with 0 without any."""

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: object
    ) -> click.Context:
        """What is asked; a help is printed here."""
        with _reader_may_leave():
            return super().make_context(info_name, args, parent, **extra)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the arguments; without any, the help is printed, in one way by every click: with exit code 2."""
        if not args and not ctx.resilient_parsing:
            click.echo(ctx.get_help(), err=True)
            ctx.exit(FAILED)
        return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> object:
        """Run a command, or print its help."""
        with _reader_may_leave():
            return super().invoke(ctx)


@contextmanager
def _reader_may_leave() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError as error:
        raise _ReaderLeft from error


@click.group(cls=_Commands, context_settings=_SETTINGS, epilog=EXAMPLES[""])
@click.option(
    "--version", is_flag=True, expose_value=False, is_eager=True, callback=_print_version, help="Show the version."
)
def cli() -> None:
    """Find dtype mismatches in PyTorch models, without weights, and draw where they come from."""


cli.add_command(trace_command)
cli.add_command(draw_command)
cli.add_command(fix_command)
cli.add_command(check_command)
cli.add_command(diff_command)
cli.add_command(explain_command)
