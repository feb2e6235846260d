"""Which part of the slowest laws `make test` asks; ANALYZE_ALL=1, as `make truth` sets it, asks all of it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from typing import Final, TypeVar
from zlib import crc32

import pytest

T = TypeVar("T")
ALL: Final = bool(os.environ.get("ANALYZE_ALL"))

whole = pytest.mark.skipif(not ALL, reason="asks all of a law: make truth")
"""Marks a test that needs every case of a slow law."""


def sliced(items: Iterable[T], parts: int, name: Callable[[T], str] = str) -> Iterator[T]:
    """One of so many parts of the items, by their names: always the same one, and items of one name together."""
    return (item for item in items if ALL or crc32(name(item).encode()) % parts == 0)


def at_least(number: int, parts: int) -> int:
    """How many of a whole a part of it must have, so that a slice cannot become empty unseen."""
    return number if ALL else number // parts * 3 // 4
