"""The error of code that a trace does not follow: it ends the run with a reason of its own, and blames no input."""

from __future__ import annotations


class NotTraced(Exception):
    """What the model does is not traced; `hint` says what to do instead."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.hint = hint
