"""Answers for a person whether code of a model may run, so that transformers never asks on the terminal."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from analyzer.capture.patching import patched


@contextmanager
def answered(trust: bool) -> Iterator[None]:
    """While this lasts, a part of a model whose config names code of its own gets the answer that the command got."""
    import transformers.dynamic_module_utils as asking

    answer = "y" if trust else "n"
    with patched(
        asking, "input", lambda *_: answer, what="input() of transformers.dynamic_module_utils",
        why="It asks on the terminal whether a part's own code may run; --trust-remote-code has answered that.",
    ):  # fmt: skip
        yield
