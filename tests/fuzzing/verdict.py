"""Judges one run of the command by what can be seen from outside."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from unicodedata import category
from xml.etree import ElementTree

LINE: Final = 300
"""Characters that a line on stderr may have."""
_ADVICE: Final = 2000
"""Those of one that ends with what to do, in brackets."""
_SLACK: Final = 1 << 30
"""Bytes that a worker may take between two looks at its memory."""
_BY_DESIGN: Final = ("analyze: not confined",)
_OURS: Final = "analyze: "
_DIED: Final = re.compile(r"the process that traces (was ended|ended|closed)|no warm worker|the worker said what")
_FAULT: Final = re.compile(r"\(a fault in analyze|Traceback \(most recent call last\)|escaped from main")
_COMMAND: Final = re.compile(r"^\s*::|##\[|##vso\[", re.MULTILINE)
_STOPPED: Final[dict[str, str]] = {
    "deadline": "analyze: stopped after",
    "memory": "analyze: stopped: it needs more than",
}
_NO_MEMORY: Final = "it needs more memory than the worker may have"


@dataclass(frozen=True, slots=True)
class Bounds:
    """How long the command may take, and how much memory its worker and its front."""

    seconds: float
    memory: int


@dataclass(frozen=True, slots=True)
class Seen:
    """What was seen of one run."""

    code: int
    out: str
    err: str
    seconds: float = 0.0
    timely: bool = True
    """Whether it ended by itself."""
    front: int = 0
    """The most memory that the front took, in bytes."""
    worker: int = 0
    ran: bool = False
    """Whether code of the input ran."""
    stayed: bool = False
    """Whether a worker stayed when the command had ended."""
    changed: tuple[str, ...] = ()
    """What the command changed in the folder that it ran in."""
    left: tuple[str, ...] = ()
    """What it left among temporary files and in the home."""
    outputs: Mapping[str, bytes] = field(default_factory=dict)
    traceback: str = ""
    """Where the worker or the front failed, or was when it was told to stop."""
    stuck: str = ""
    """Where the front or the worker was when it had to be ended, innermost call first."""
    for_ci: bool = False
    """Whether its stdout is meant to be obeyed by a CI."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """`outcome` is clean, findings, refused, deadline, memory, or FAULT and its kind; `words` say which."""

    outcome: str
    words: str = ""

    @property
    def fault(self) -> bool:
        """Whether analyze did what it must never do."""
        return self.outcome.startswith("FAULT")


def judge(seen: Seen, bounds: Bounds) -> Verdict:
    """The verdict: the worst fault first, else what the command says of itself."""
    for name, check in _CHECKS.items():
        if words := check(seen, bounds):
            return Verdict(f"FAULT {name}", words)
    if seen.code < 2:
        return Verdict(("clean", "findings")[seen.code])
    line = next(iter(_lines(seen.err)), "")
    for outcome, start in _STOPPED.items():
        if line.startswith(start):
            return Verdict(outcome, line)
    return Verdict("memory" if _NO_MEMORY in line else "refused", line)


def snapshot(folder: Path) -> frozenset[tuple[str, int, int, int]]:
    """Everything below a folder, as far as a change of it would show."""
    found = []
    for path in folder.rglob("*"):
        about = os.lstat(path)
        size = 0 if path.is_dir() and not path.is_symlink() else about.st_size
        found.append((path.relative_to(folder).as_posix(), about.st_mode, size, about.st_mtime_ns))
    return frozenset(found)


def _ran(seen: Seen, _: Bounds) -> str:
    return "code of the input ran" if seen.ran else ""


def _hung(seen: Seen, bounds: Bounds) -> str:
    if seen.timely and seen.seconds <= bounds.seconds:
        return "worker stayed" if seen.stayed else ""
    return "the command did not end"


def _crashed(seen: Seen, _: Bounds) -> str:
    if seen.code < 0:
        return f"the command was ended by signal {-seen.code}"
    line = next((line for line in _lines(seen.err) if _DIED.search(line)), "")
    return line


def _faulty(seen: Seen, _: Bounds) -> str:
    return next((line for line in seen.err.splitlines() if _FAULT.search(line)), "")


def _ended_oddly(seen: Seen, _: Bounds) -> str:
    return "" if seen.code in (0, 1, 2) else f"exit code {seen.code}"


def _large(seen: Seen, bounds: Bounds) -> str:
    if seen.worker > bounds.memory + _SLACK:
        return f"the worker took {seen.worker / (1 << 30):.0f} GB"
    return f"the front took {seen.front / (1 << 30):.0f} GB" if seen.front > bounds.memory else ""


def _outside(seen: Seen, _: Bounds) -> str:
    where = [*(f"changed {name}" for name in seen.changed), *(f"left {name}" for name in seen.left)]
    return where[0] if where else ""


def _untidy(seen: Seen, _: Bounds) -> str:
    """More or less than one line, where it could not run; anything that is not its own line, where it could."""
    lines = _lines(seen.err)
    if strange := [line for line in lines if not line.startswith(_OURS)]:
        return f"a line that is not its own: {strange[0]}"
    if seen.code == 2 and len(lines) != 1:
        return f"{len(lines)} lines: {' | '.join(lines[:3])}"
    return ""


def _long(seen: Seen, _: Bounds) -> str:
    return next((f"a long line: {line[:120]}" for line in _lines(seen.err) if len(line) > _most(line)), "")


def _most(line: str) -> int:
    return _ADVICE if line.endswith(")") else LINE


def _obeyed(seen: Seen, _: Bounds) -> str:
    """What a terminal or a CI's log would obey."""
    for text in (seen.err, seen.out):
        if odd := next((c for c in text if c != "\n" and category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp")), ""):
            at = text.index(odd)
            return f"a character {odd!a} in {text[max(at - 40, 0) : at + 20]!a}"
        if (found := _COMMAND.search(text)) and not (seen.for_ci and text is seen.out):
            return f"a command to the CI: {text[found.start() : found.start() + 80]!a}"
    return ""


def _spoilt(seen: Seen, _: Bounds) -> str:
    readers: dict[str, Callable[[bytes], object]] = {
        ".json": json.loads, ".sarif": json.loads, ".svg": ElementTree.fromstring, ".xml": ElementTree.fromstring,
    }  # fmt: skip
    for name, data in seen.outputs.items():
        try:
            readers.get(Path(name).suffix, len)(data)
        except (ValueError, ElementTree.ParseError, RecursionError) as error:
            return f"{name} cannot be read: {type(error).__name__}: {error}"
    return ""


def _lines(err: str) -> list[str]:
    return list(_told(err))


def _told(err: str) -> Iterator[str]:
    for line in err.splitlines():
        if line.strip() and not line.startswith(_BY_DESIGN):
            yield line


_CHECKS: Final[dict[str, Callable[[Seen, Bounds], str]]] = {
    "marker": _ran,
    "hang": _hung,
    "crash": _crashed,
    "error": _faulty,
    "exit code": _ended_oddly,
    "memory": _large,
    "outside": _outside,
    "lines": _untidy,
    "long line": _long,
    "characters": _obeyed,
    "output": _spoilt,
}
