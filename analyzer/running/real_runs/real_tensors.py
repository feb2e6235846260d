"""Whether models are built with real tensors, for a while, where they are mostly built without data."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Final

import torch

_REAL: Final[list[bool]] = []
"""Not empty while tensors are to be real."""


@contextlib.contextmanager
def real_tensors() -> Iterator[None]:
    """While this lasts, models are built with real tensors on the CPU, as their constructors initialise them.

    What no constructor writes holds NaN, so that two models from one seed are the same.
    """
    before = torch.get_deterministic_debug_mode()
    torch.set_deterministic_debug_mode(1)
    _REAL.append(True)
    try:
        yield
    finally:
        _REAL.pop()
        torch.set_deterministic_debug_mode(before)


def are_real() -> bool:
    """Whether models are built with real tensors now."""
    return bool(_REAL)
