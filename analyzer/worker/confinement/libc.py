"""Calls the kernel through the C library that Python is linked with."""

from __future__ import annotations

import ctypes
import os


def system_call(number: int, *arguments: int | ctypes.Array[ctypes.c_char] | None) -> int:
    """Make one Linux system call and return its result; an error is raised as `OSError`."""
    library = ctypes.CDLL(None, use_errno=True)
    library.syscall.restype = ctypes.c_long
    words = [ctypes.c_long(value) if isinstance(value, int) else value for value in arguments]
    result = int(library.syscall(ctypes.c_long(number), *words))
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result


def process_control(option: int, value: int = 0) -> int:
    """Call `prctl(option, value, 0, 0, 0)`; an error is raised as `OSError`."""
    library = ctypes.CDLL(None, use_errno=True)
    result = int(library.prctl(*(ctypes.c_ulong(word) for word in (option, value, 0, 0, 0))))
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result
