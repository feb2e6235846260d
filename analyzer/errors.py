"""Errors that a person can act on."""

from __future__ import annotations


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
