"""Lets go of every open descriptor that a process inherited and was not given."""

from __future__ import annotations

import os
from pathlib import Path

from analyzer.worker.confinement.rules import NotEnforcedError


def replace_descriptors(keep: tuple[int, ...]) -> None:
    """Point every open descriptor but the standard streams and `keep` at the null device.

    They are replaced, not closed: in a forked worker an object may own the number and close it later, when it would
    belong to another file.
    """
    listing = Path("/dev/fd")
    if not listing.is_dir():
        raise NotEnforcedError("open descriptors cannot be listed")
    null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    try:
        for name in os.listdir(listing):  # noqa: PTH208 (names, not paths)
            number = int(name)
            if number > 2 and number != null and number not in keep and _is_open(number):
                os.dup2(null, number, inheritable=False)
    finally:
        os.close(null)


def _is_open(number: int) -> bool:
    # The listing names the descriptor that it was read with, which is closed by now.
    try:
        os.fstat(number)
    except OSError:
        return False
    return True
