"""Confines the calling process: limits, descriptors, rights, files, system calls, in this order."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Final

from analyzer.worker.confinement.descriptors import replace_descriptors
from analyzer.worker.confinement.landlock import restrict_files
from analyzer.worker.confinement.limits import set_limits
from analyzer.worker.confinement.privileges import drop_privileges, has_one_thread
from analyzer.worker.confinement.rules import Confined, NotEnforcedError, Rules
from analyzer.worker.confinement.seccomp import filter_calls

_SYSTEMS: Final = {"darwin": "macOS", "win32": "Windows"}


def confine(rules: Rules, keep: tuple[int, ...] = ()) -> Confined:
    """Confine the calling process for good, and return what holds; nothing is raised.

    Call it once, while the process has one thread, before torch is imported. `keep` names the open descriptors that
    stay, besides the three standard streams.
    """
    memory = _failure(lambda: set_limits(rules.address_space, rules.file_size))
    descriptors = _failure(lambda: replace_descriptors(keep))
    limited = bool(rules.address_space) and not memory
    if not sys.platform.startswith("linux"):
        return Confined(False, False, False, limited, _SYSTEMS.get(sys.platform, sys.platform))
    threads = "" if has_one_thread() else "threads were running already"
    privileges = _failure(drop_privileges)
    files = _failure(lambda: restrict_files(rules.read, rules.write))
    calls = _failure(filter_calls)
    failures = (files, calls, privileges, threads, descriptors, memory)
    return Confined(
        files=not (files or calls or privileges or threads or descriptors),
        network=not (calls or descriptors),
        processes=not (calls or privileges),
        memory=limited,
        reason="; ".join(dict.fromkeys(failure for failure in failures if failure)),
    )


def _failure(step: Callable[[], None]) -> str:
    try:
        step()
    except NotEnforcedError as error:
        return str(error)
    except Exception as error:  # a worker that is not confined is reported, not lost
        return f"{type(error).__name__}: {error}"
    return ""
