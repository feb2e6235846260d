"""Restricts which files a process may read and write, by Linux's Landlock."""

from __future__ import annotations

import ctypes
import errno
import os
import stat
import struct
from typing import Final

from analyzer.worker.confinement.libc import system_call
from analyzer.worker.confinement.rules import NotEnforcedError

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446  # the same on every architecture
_ASK_VERSION: Final = 1
_PATH_BENEATH: Final = 1
_NO_LOG: Final = 1  # from version 7: refused calls do not fill the log of the kernel

_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = (1 << bit for bit in range(4))
_REMOVE_DIR, _REMOVE_FILE, _MAKE_CHAR, _MAKE_DIR, _MAKE_REG = (1 << bit for bit in range(4, 9))
_MAKE_SYM, _REFER, _TRUNCATE = (1 << bit for bit in range(12, 15))
_READ: Final = _READ_FILE | _READ_DIR
# No right to make sockets, pipes or devices: whoever reads the scratch folder afterwards finds only files.
_WRITE: Final = (
    _READ | _WRITE_FILE | _REMOVE_DIR | _REMOVE_FILE | _MAKE_DIR | _MAKE_REG | _MAKE_SYM | _REFER | _TRUNCATE
)
_OF_A_FILE: Final = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE
# How many rights over files each version knows; a right that is known is denied unless a rule grants it.
_KNOWN_RIGHTS: Final = {1: 13, 2: 14, 3: 15, 4: 15}
_KNOWN_RIGHTS_NOW: Final = 16
_TCP_FROM: Final = 4
_BIND_AND_CONNECT: Final = 0b11
_SCOPES_FROM: Final = 6
_ABSTRACT_SOCKETS_AND_SIGNALS: Final = 0b11
_LOG_FROM: Final = 7

_PROCESSES: Final = "/proc/"
_WRITABLE_DEVICES: Final = ("/dev/null",)


def restrict_files(read: tuple[str, ...], write: tuple[str, ...]) -> None:
    """Deny the calling thread every file but those beneath `read` and `write`, and TCP, for good."""
    version = _version()
    rights = (1 << _KNOWN_RIGHTS.get(version, _KNOWN_RIGHTS_NOW)) - 1
    network = _BIND_AND_CONNECT if version >= _TCP_FROM else 0
    scopes = _ABSTRACT_SOCKETS_AND_SIGNALS if version >= _SCOPES_FROM else 0
    attributes = ctypes.create_string_buffer(struct.pack("=QQQ", rights, network, scopes), 24)
    ruleset = system_call(_CREATE_RULESET, attributes, 24, 0)
    try:
        for path in read:
            _allow(ruleset, path, _READ & rights)
        for path in write:
            _allow(ruleset, path, _WRITE & rights)
        for path in _WRITABLE_DEVICES:
            _allow(ruleset, path, _READ_FILE | _WRITE_FILE)
        system_call(_RESTRICT_SELF, ruleset, _NO_LOG if version >= _LOG_FROM else 0)
    finally:
        os.close(ruleset)


def _version() -> int:
    try:
        return system_call(_CREATE_RULESET, None, 0, _ASK_VERSION)
    except OSError as error:
        if error.errno == errno.EOPNOTSUPP:
            raise NotEnforcedError("Landlock is switched off in this kernel") from None
        raise NotEnforcedError("no Landlock in this kernel") from None


def _allow(ruleset: int, path: str, rights: int) -> None:
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return  # what is not there needs no rule
    granted = rights if stat.S_ISDIR(os.fstat(descriptor).st_mode) else rights & _OF_A_FILE
    rule = ctypes.create_string_buffer(struct.pack("=Qi", granted, descriptor), 12)
    system_call(_ADD_RULE, ruleset, _PATH_BENEATH, rule, 0)
    # A file of /proc is made anew, and unknown to the rule, once it has left the kernel's cache: an open one stays.
    if not path.startswith(_PROCESSES):
        os.close(descriptor)
