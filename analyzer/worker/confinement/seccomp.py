"""Filters the system calls of a process: no program, process, socket or signal, and nothing that only root needs."""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct
import sys
from typing import Final

from analyzer.worker.confinement.calls import COLUMNS, LAST_KNOWN, NUMBERS
from analyzer.worker.confinement.libc import process_control, system_call
from analyzer.worker.confinement.rules import NotEnforcedError

Instruction = tuple[int, int, int, int]
"""Code, jump if true, jump if false, operand: `struct sock_filter`."""

_LOAD, _AND, _EQUAL, _AT_LEAST, _RETURN = 0x20, 0x54, 0x15, 0x35, 0x06
_NUMBER, _ARCHITECTURE, _ARGUMENTS = 0, 4, 16  # offsets in `struct seccomp_data`
_AUDIT: Final = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_X32: Final = 0x40000000  # the 32-bit calls of x86-64, numbered from here

_ALLOW: Final = (_RETURN, 0, 0, 0x7FFF0000)
_KILL: Final = (_RETURN, 0, 0, 0x80000000)


def _answer(code: int) -> Instruction:
    return (_RETURN, 0, 0, 0x00050000 | code)


_DENY: Final = _answer(errno.EPERM)
_UNKNOWN: Final = _answer(errno.ENOSYS)
_DONE: Final = _answer(0)

# Callers of these fall back on an older call if the kernel has none.
_NOT_THERE: Final = ("clone3", "openat2", "io_uring_setup", "io_uring_enter", "io_uring_register", "open_tree_attr")
# Answered with success, and nothing happens: `shutil.copy` and thread pools take a refusal for a failure of the whole.
_WITHOUT_EFFECT: Final = (
    "chmod", "fchmod", "fchmodat", "fchmodat2", "utime", "utimes", "futimesat", "utimensat",
    "sched_setscheduler", "sched_setparam", "sched_setattr",
)  # fmt: skip

_CLONE_THREAD: Final = 0x00010000
# CLONE_PTRACE, CLONE_VFORK, and all that make a namespace.
_NOT_OF_A_THREAD: Final = 0x2000 | 0x4000 | 0x00020000 | 0x02000000 | 0x7C000000
# O_RDONLY (0) or 3, the mode without a right to read or write: Landlock up to version 2 lets both truncate.
_NO_WRITER: Final = (os.O_TRUNC, os.O_TRUNC | 3) if hasattr(os, "O_TRUNC") else ()
_HARMLESS_PRCTL: Final = (
    2, 3, 7, 15, 16, 21, 23, 25, 27, 30, 34, 39, 42,  # the ones that ask, and PR_SET_NAME
    29, 41, 0x53564D41,  # timer slack, huge pages, names of memory areas
    50, 51, 56, 63, 64,  # vector lengths and tagged addresses of ARM
)  # fmt: skip
_HARMLESS_IOCTL: Final = (
    0x5401, 0x802C542A, 0x540F, 0x5413, 0x541B,  # of a terminal: settings, owner, size; bytes waiting
    0x5421, 0x5450, 0x5451,  # blocking, closing on exec
    0x40049409, 0x4020940D,  # clone a file into one that is open for writing
)  # fmt: skip
_SIGNALLING_FCNTL: Final = (8, 10, 15, 1024, 1026)  # F_SETOWN, F_SETSIG, F_SETOWN_EX, F_SETLEASE, F_NOTIFY

_SECCOMP_SET_MODE_FILTER: Final = 1
_ALL_THREADS: Final = 1
_PR_SET_NO_NEW_PRIVS: Final = 38


def filter_calls() -> None:
    """Filter the system calls of every thread of this process, for good."""
    process_control(_PR_SET_NO_NEW_PRIVS, 1)
    number = call_number("seccomp")
    program = assembled(platform.machine(), os.getpid())
    code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *line) for line in program))
    head = ctypes.create_string_buffer(struct.pack("@HP", len(program), ctypes.addressof(code)))
    try:
        unconfined_thread = system_call(number, _SECCOMP_SET_MODE_FILTER, _ALL_THREADS, head)
    except OSError:
        raise NotEnforcedError("no filter of system calls in this kernel") from None
    if unconfined_thread:
        raise NotEnforcedError("threads were running already")


def call_number(name: str) -> int:
    """Return the number of a system call on this machine."""
    column = COLUMNS.get(platform.machine()) if sys.maxsize > 2**32 else None
    number = None if column is None else NUMBERS[name][column]
    if number is None:
        raise NotEnforcedError(f"no filter of system calls for {platform.machine()}")
    return number


def assembled(machine: str, process: int) -> list[Instruction]:
    """Return the filter's program for the process with that id."""
    program: list[Instruction] = [
        (_LOAD, 0, 0, _ARCHITECTURE), (_EQUAL, 1, 0, _AUDIT[machine]), _KILL,
        (_LOAD, 0, 0, _NUMBER),
        (_AT_LEAST, 0, 1, _X32), _DENY,
        (_AT_LEAST, 0, 1, LAST_KNOWN + 1), _UNKNOWN,
    ]  # fmt: skip
    answers = _answers(process)
    for name, numbers in NUMBERS.items():
        number = numbers[COLUMNS[machine]]
        if number is not None:
            answer = answers.get(name, [_DENY])
            program += [(_EQUAL, 0, len(answer), number), *answer]
    return [*program, _ALLOW]


def _answers(process: int) -> dict[str, list[Instruction]]:
    """Return what is said to each call of the table that is not simply denied."""
    to_itself = [*_load(0), *_if_any((process,), _ALLOW), _DENY]
    signals = ("kill", "tgkill", "rt_sigqueueinfo", "rt_tgsigqueueinfo")
    return {
        **{name: [_UNKNOWN] for name in _NOT_THERE},
        **{name: [_DONE] for name in _WITHOUT_EFFECT},
        **dict.fromkeys(signals, to_itself),
        "capget": [_ALLOW],
        "clone": [*_load(0, _CLONE_THREAD | _NOT_OF_A_THREAD), *_if_any((_CLONE_THREAD,), _ALLOW), _DENY],
        "sched_setaffinity": [*_load(0), *_if_any((0,), _ALLOW), _DONE],
        "prlimit64": _only_null(2),
        "sendto": _only_null(4),
        "prctl": [*_load(0), *_if_any(_HARMLESS_PRCTL, _ALLOW), _DENY],
        "ioctl": [*_load(1), *_if_any(_HARMLESS_IOCTL, _ALLOW), _answer(errno.ENOTTY)],
        "fcntl": [*_load(1), *_if_any(_SIGNALLING_FCNTL, _DENY), _ALLOW],
        "open": [*_load(1, os.O_TRUNC | 3), *_if_any(_NO_WRITER, _DENY), _ALLOW],
        "openat": [*_load(2, os.O_TRUNC | 3), *_if_any(_NO_WRITER, _DENY), _ALLOW],
    }


def _load(argument: int, mask: int = 0) -> list[Instruction]:
    load = (_LOAD, 0, 0, _ARGUMENTS + 8 * argument)
    return [load, (_AND, 0, 0, mask)] if mask else [load]


def _if_any(values: tuple[int, ...], answer: Instruction) -> list[Instruction]:
    return [line for value in values for line in ((_EQUAL, 0, 1, value), answer)]


def _only_null(argument: int) -> list[Instruction]:
    low = _ARGUMENTS + 8 * argument
    return [(_LOAD, 0, 0, low), (_EQUAL, 1, 0, 0), _DENY, (_LOAD, 0, 0, low + 4), (_EQUAL, 1, 0, 0), _DENY, _ALLOW]
