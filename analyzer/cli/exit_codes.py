"""The exit codes of the commands, and which one the outcome of a run makes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from analyzer.cli.messages import complain

if TYPE_CHECKING:
    from analyzer.worker.process import Ended

CLEAN: Final = 0
"""Every run came to its end, and nothing was found."""
FOUND: Final = 1
"""Something was found."""
FAILED: Final = 2
"""Could not run; or nothing was found, but a run stopped early, or a file that was asked for could not be written."""
INTERRUPTED: Final = 130
"""Ended by Ctrl-C; by another signal it is 128 and the signal's number, as shells have it."""


def by_signal(ended: Ended | None) -> bool:
    """Whether a person or the system ended the run, not a bound that the command itself had set."""
    return ended is not None and ended.code != FAILED


def verdict(
    *, found: bool, incomplete: str, ended: Ended | None, allowed: bool, holder: str = "report", written: bool = True
) -> int:  # fmt: skip
    """The exit code of a run, with a line on stderr for one that stopped early and is not green for that.

    What was found is certain wherever the run stopped; that nothing was found is not. `incomplete` says why a run
    stopped, `ended` that its worker was told to end, `allowed` is --allow-incomplete, `holder` is what was written, and
    `written` says whether every file that was asked for was: one that is missing is not green either.
    """
    if ended is not None:
        complain(f"{ended.words}; the {holder} holds what was reached")
        if by_signal(ended):
            return ended.code
    if found:
        return FOUND
    if not written:
        return FAILED
    if allowed or not (incomplete or ended):
        return CLEAN
    if ended is None:
        complain(f"incomplete: {incomplete} (--allow-incomplete exits with 0)")
    return FAILED
