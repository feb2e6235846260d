"""Errors that a person can act on, and hints at what was meant."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class AnalyzerError(Exception):
    """Something kept the tool from running: what is wrong and where, and a hint what to do.

    `str(error)` is one line. The command prints it on stderr and exits with 2.
    """

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = " ".join(message.split())
        self.hint = " ".join(hint.split())

    def __str__(self) -> str:
        return f"{self.message} ({self.hint})" if self.hint else self.message


class Interrupted(BaseException):
    """A run was told to end: by a deadline, or by a person. `str(error)` says which, `hint` what helps."""

    def __init__(self, words: str, hint: str = "") -> None:
        super().__init__(words)
        self.hint = hint


class NoMatch(AnalyzerError):
    """A pattern, of a plan or of a change that is tried, names nothing in the model."""


def first_line(error: object) -> str:
    r"""The first line that an error says; "" if it says nothing.

    >>> first_line(ValueError("\n  too long\nby 3"))
    '  too long'
    """
    return next((line for line in str(error).splitlines() if line.strip()), "")


def did_you_mean(word: str, words: Iterable[str]) -> str:
    """A hint with the closest of the known words; "" where none is close.

    >>> did_you_mean("bias", ["weight", "bais"]), did_you_mean("bias", ["weight"])
    ("did you mean 'bais'?", '')
    """
    close = get_close_matches(word, sorted(words), n=1, cutoff=0.65)  # one letter of three
    return f"did you mean '{close[0]}'?" if close else ""


def suggest(word: str, words: Iterable[str]) -> str:
    """A hint with the closest of the known words, else with some of them."""
    known = sorted(words)
    if close := did_you_mean(word, known):
        return close
    return f"there is {', '.join(known[:8])}{', ...' if len(known) > 8 else ''}" if known else ""
