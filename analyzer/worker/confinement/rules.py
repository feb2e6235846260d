"""What a process is to be allowed, and what was really enforced."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Rules:
    """What the process may still do; sizes are in bytes, and 0 sets no limit."""

    read: tuple[str, ...]
    """Files and folders (with all that is in them) that may be read. What does not exist is left out."""
    write: tuple[str, ...]
    """The scratch folder: there, files may be read, written, made, renamed and removed."""
    address_space: int = 0
    """Largest address space of the process (`RLIMIT_AS`)."""
    file_size: int = 0
    """Largest file that the process may write (`RLIMIT_FSIZE`)."""


@dataclass(frozen=True, slots=True)
class Confined:
    """What holds from now on, for this process and until it ends."""

    files: bool
    network: bool
    processes: bool
    memory: bool
    """False, too, if no limit was asked for."""
    reason: str = ""
    """Why something that was asked for does not hold; empty if all of it does."""

    def line(self) -> str:
        """Return one line for a person, empty if everything that was asked for holds.

        >>> Confined(files=False, network=True, processes=True, memory=True, reason="no Landlock in this kernel").line()
        'not confined: no Landlock in this kernel'
        """
        return f"not confined: {self.reason}" if self.reason else ""


class NotEnforcedError(Exception):
    """Part of the rules cannot be enforced on this machine; the message says why."""
