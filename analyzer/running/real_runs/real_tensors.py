"""Whether models are built with real tensors, for a while, where they are mostly built without data."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Final

import torch

_REAL: Final[list[bool]] = []
"""Not empty while tensors are to be real."""


@contextlib.contextmanager
def repeatable() -> Iterator[None]:
    """While this lasts, memory that nobody has written holds NaN, so that two runs of one model are the same."""
    before = torch.get_deterministic_debug_mode()
    torch.set_deterministic_debug_mode(1)
    try:
        yield
    finally:
        torch.set_deterministic_debug_mode(before)


@contextlib.contextmanager
def real_tensors() -> Iterator[None]:
    """While this lasts, models are built with real tensors on the CPU, as their constructors initialise them."""
    _REAL.append(True)
    try:
        with repeatable():
            yield
    finally:
        _REAL.pop()


def are_real() -> bool:
    """Whether models are built with real tensors now."""
    return bool(_REAL)
