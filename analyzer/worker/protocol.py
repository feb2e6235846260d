"""What the front and a worker say to each other: one JSON object a line, and files in a scratch folder."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Final, Literal, get_args

from analyzer.errors import AnalyzerError

VERSION: Final = 1
"""Of the protocol; a worker of another version refuses."""
LINE: Final = 1 << 20
"""Bytes that one line may have, either way."""

Action = Literal["trace", "fix", "edits", "comments"]
"""What a worker makes: a report, a table of fixes, edits for findings of its last report, suppressions in sources."""
Event = Literal["hello", "confined", "step", "partial", "answer", "error"]
"""What a worker says while it works."""
ErrorKind = Literal["refused", "fault"]
"""Why there is no answer: something that a person can act on, or a fault in analyze itself."""
STOP: Final = "stop"
"""The front's word to end early and answer with what there is."""


@dataclass(frozen=True, slots=True)
class TraceRequest:
    """One model under one set-up, as a person asked for it; paths are as they were typed."""

    model: str
    flags: Mapping[str, Any] = field(default_factory=dict)
    """Fields of the plan that flags set."""
    recipes: tuple[str, ...] = ()
    stage: str | None = None
    """The one stage of a recipe that is wanted."""
    plan_file: str | None = None
    inputs: str | None = None
    trust_remote_code: bool = False
    stubs: tuple[str, ...] = ()
    """Packages that the model's code imports and that stand-ins replace."""
    steps: str = ""
    """The forward passes, as typed; "" is one."""
    tries: tuple[str, ...] = ()
    """Changes as typed, `to=bf16`: made before a trace; for a fix, each a proposal of its own."""

    @property
    def adapter(self) -> str | None:
        """The folder of a PEFT adapter that is put in."""
        return self.flags.get("adapter")

    @property
    def runs(self) -> tuple[str, ...]:
        """Other inputs files that are to be tried."""
        parts = (part.strip().partition("=") for text in self.tries for part in text.split(","))
        return tuple(value for name, _, value in parts if name == "run" and value)

    def to_json(self) -> dict[str, Any]:
        """The request as plain data."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Any) -> TraceRequest:
        """The request that plain data stands for. Raises AnalyzerError for anything else."""
        known = {one.name for one in fields(cls)}
        if not isinstance(data, dict) or not isinstance(data.get("model"), str) or not known.issuperset(data):
            raise AnalyzerError("a request that this worker does not understand", hint="use one version of analyze")
        lists = {key: tuple(value) for key, value in data.items() if isinstance(value, list)}
        return cls(**{**data, **lists})


@dataclass(frozen=True, slots=True)
class Setup:
    """What a worker is told first: where it may write, what it may read, and how it is bounded."""

    scratch: str
    readable: tuple[str, ...] = ()
    """Folders and files that it may read beside the interpreter's own."""
    address_space: int = 0
    """Bytes; 0 is no bound."""
    debug: bool = False

    def to_json(self) -> dict[str, Any]:
        """The set-up as plain data, with the version of the protocol."""
        return {"protocol": VERSION, **asdict(self)}

    @classmethod
    def from_json(cls, data: Any) -> Setup:
        """The set-up that plain data stands for. Raises AnalyzerError for another version of the protocol."""
        if not isinstance(data, dict) or data.pop("protocol", None) != VERSION:
            raise AnalyzerError(f"the worker speaks protocol {VERSION} alone", hint="use one version of analyze")
        return cls(**{**data, "readable": tuple(data["readable"])})


def line(data: Mapping[str, Any]) -> bytes:
    """One message as a line."""
    return (json.dumps(data) + "\n").encode()


def read_line(raw: bytes) -> dict[str, Any]:
    """The message in a line. Raises ValueError for what is none."""
    try:
        data = json.loads(raw)
    except RecursionError as error:
        raise ValueError("nested too deep") from error
    if not isinstance(data, dict):
        raise ValueError("no object")
    return data


def read_event(raw: bytes) -> dict[str, Any]:
    """The event in a line that a worker wrote, which is not trusted: it has a known kind, and its texts are texts.

    Raises ValueError for anything else.
    """
    data = read_line(raw)
    if data.get("event") not in get_args(Event):
        raise ValueError("an unknown event")
    for key, value in data.items():
        if not isinstance(value, str):
            raise ValueError(f"'{key}' is no text")
    return data


def answer_file(scratch: Path, name: str, limit: int) -> bytes:
    """The bytes of an answer in the scratch folder: a plain file of at most `limit` bytes, under a plain name.

    Raises ValueError for anything else.
    """
    if not name or Path(name).name != name or name.startswith("."):
        raise ValueError("the answer has no plain name")
    careful = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)  # no link, no waiting for a named pipe
    handle = os.open(scratch / name, os.O_RDONLY | careful)
    with os.fdopen(handle, "rb") as file:
        about = os.fstat(handle)
        if not stat.S_ISREG(about.st_mode) or about.st_size > limit:
            raise ValueError(f"the answer is no plain file of at most {limit >> 20} MiB")
        return file.read(limit)
