"""Opens a file that somebody else may have written: a regular one, without ever waiting for it; reads a small one."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import IO, Final

from analyzer.errors import AnalyzerError

LARGEST: Final = 64 << 20
"""Bytes of a file that people write or review."""
_FLAGS: Final = (
    os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0) | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_BINARY", 0)
)  # fmt: skip
"""A FIFO without a writer opens at once, and is then seen to be one; a terminal does not become ours."""


def opened(file: Path) -> IO[bytes]:
    """The file, to be read from its start. Raises AnalyzerError for what cannot be read or is no regular file."""
    try:
        descriptor = os.open(file, _FLAGS)
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise AnalyzerError(f"{file} is no regular file", hint="not a folder, a device or a pipe")
            return os.fdopen(descriptor, "rb")
        except BaseException:
            os.close(descriptor)
            raise
    except (OSError, ValueError) as error:  # a path with a NUL is a ValueError
        raise _unreadable(file, error) from error


def read_small(file: Path, largest: int = LARGEST) -> bytes:
    """What the file holds. Raises AnalyzerError for what cannot be read, is no regular file, or is larger."""
    with opened(file) as stream:
        try:
            data = stream.read(largest + 1)
        except OSError as error:
            raise _unreadable(file, error) from error
    if data is None:  # a file of the kernel's that is to be waited for
        raise AnalyzerError(f"{file} is no regular file", hint="not a folder, a device or a pipe")
    if len(data) > largest:
        raise AnalyzerError(f"{file} is too large to be read", hint=f"no more than {largest >> 10} KiB")
    return data


def read_small_text(file: Path, largest: int = LARGEST) -> str:
    """The same as text, with the ends of lines that Python gives. Raises AnalyzerError as `read_small` does."""
    try:
        text = read_small(file, largest).decode("utf-8")
    except UnicodeDecodeError as error:
        raise AnalyzerError(f"{file} cannot be read: {error}", hint="is it text in UTF-8?") from error
    return text.replace("\r\n", "\n").replace("\r", "\n")


def is_file(place: Path) -> bool:
    """Whether there is such a file, whatever a stranger calls it."""
    try:
        return place.is_file()
    except (OSError, ValueError):
        return False


def is_folder(place: Path) -> bool:
    """Whether there is such a folder, whatever a stranger calls it: a name too long, or with a NUL, is none."""
    try:
        return place.is_dir()
    except (OSError, ValueError):
        return False


def as_argument(path: str) -> str:
    """A path as a command takes it: one that begins with a dash is no option.

    >>> as_argument("-m"), as_argument("a/-m")
    ('./-m', 'a/-m')
    """
    return f"./{path}" if path.startswith("-") else path


def _unreadable(file: Path, error: OSError | ValueError) -> AnalyzerError:
    if isinstance(error, IsADirectoryError) or getattr(error, "errno", None) == errno.ENXIO:  # ENXIO: a socket
        return AnalyzerError(f"{file} is no regular file", hint="not a folder, a device or a pipe")
    words = error.strerror if isinstance(error, OSError) else str(error)
    linked = isinstance(error, PermissionError) and file.is_symlink()
    hint = "a link may not lead out of the model folder" if linked else "is it there, and yours to read?"
    return AnalyzerError(f"{file} cannot be read: {words}", hint=hint)
