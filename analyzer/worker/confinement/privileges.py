"""Gives up what root may do, and the right to gain it by a program."""

from __future__ import annotations

import ctypes
import os
import struct
from typing import Final

from analyzer.worker.confinement.libc import process_control, system_call
from analyzer.worker.confinement.seccomp import call_number

_PR_SET_NO_NEW_PRIVS: Final = 38
_CAPABILITY_VERSION_3: Final = 0x20080522
# Root keeps the right to read what others own: which files it may read is what Landlock says.
_KEPT: Final = 1 << 2  # CAP_DAC_READ_SEARCH


def drop_privileges() -> None:
    """Forbid gaining privileges, and drop all capabilities but the one to read."""
    process_control(_PR_SET_NO_NEW_PRIVS, 1)
    header = ctypes.create_string_buffer(struct.pack("=Ii", _CAPABILITY_VERSION_3, 0), 8)
    held = ctypes.create_string_buffer(24)
    system_call(call_number("capget"), header, held)
    effective, permitted, *_ = struct.unpack("=6I", held.raw)
    kept = struct.pack("=6I", effective & _KEPT, permitted & _KEPT, 0, 0, 0, 0)
    system_call(call_number("capset"), header, ctypes.create_string_buffer(kept, 24))


def has_one_thread() -> bool:
    """Return whether the process has one thread: what is confined here holds for the calling thread alone."""
    try:
        return len(os.listdir("/proc/self/task")) == 1  # noqa: PTH208 (names, not paths)
    except OSError:
        return False
