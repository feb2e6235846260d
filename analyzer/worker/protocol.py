"""What the front and a worker say to each other: one JSON object a line, and files in a scratch folder."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, Protocol, TypedDict, cast, get_args

from analyzer.errors import AnalyzerError
from analyzer.ir.plan import FieldValue

if TYPE_CHECKING:
    from analyzer.report.json_value import JsonObject

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
SIDES: Final = "--a/--b"
"""The options that change the plan of one side of a comparison."""
STOP: Final = "stop"
"""The front's word to end early and answer with what there is."""


class Wanted(TypedDict, total=False):
    """What belongs to an action: of each, the fields that it needs."""

    request: JsonObject
    """A TraceRequest, for "trace" and "fix"."""
    findings: Sequence[tuple[int, int]]
    """For "edits": of each finding its stage, and its number there."""
    model: str
    rules: Mapping[str, str]
    """For "comments": the code of each rule by its name."""
    words: str
    """For STOP: why."""


class Request(Wanted):
    """What the front says: an action, or STOP, with what belongs to it."""

    action: Action | Literal["stop"]


class Emit(Protocol):
    """Tells the front that something happened."""

    def __call__(self, event: Event, /, **texts: str) -> None:
        """Say it."""


@dataclass(frozen=True, slots=True)
class TraceRequest:
    """One model under one set-up, as a person asked for it; paths are as they were typed."""

    model: str
    flags: Mapping[str, FieldValue] = field(default_factory=dict)
    """Fields of the plan that flags set."""
    recipes: tuple[str, ...] = ()
    stage: str | None = None
    """The one stage of a recipe that is wanted."""
    plan_file: str | None = None
    inputs: str | None = None
    trust_remote_code: bool = False
    stubs: tuple[str, ...] = ()
    """Packages that the model's code imports and that stand-ins replace."""
    text_only: bool = False
    """Whether made-up inputs are a text and nothing beside it."""
    steps: str = ""
    """The forward passes, as typed; "" is one."""
    tries: tuple[str, ...] = ()
    """Changes as typed, `to=bf16`: made before a trace; for a fix, each a proposal of its own."""
    python: str = ""
    """The interpreter that was asked for, and packages but transformers: as typed, for words on what to type next."""
    packages: tuple[str, ...] = ()
    beside: str = ""
    """An interpreter of the person's own that is not used, such as .venv/bin/python."""
    beside_has: Mapping[str, str] = field(default_factory=dict)
    """Packages there, with their releases."""

    @property
    def adapter(self) -> str | None:
        """The folder of a PEFT adapter that is put in."""
        named = self.flags.get("adapter")
        return named if isinstance(named, str) else None

    @property
    def runs(self) -> tuple[str, ...]:
        """Other inputs files that are to be tried."""
        parts = (part.strip().partition("=") for text in self.tries for part in text.split(","))
        return tuple(value for name, _, value in parts if name == "run" and value)

    def to_json(self) -> JsonObject:
        """The request as plain data."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: object) -> TraceRequest:
        """The request that plain data stands for. Raises AnalyzerError for anything else."""
        known = {one.name for one in fields(cls)}
        if not isinstance(data, dict) or not isinstance(data.get("model"), str) or not known.issuperset(data):
            raise AnalyzerError("a request that this worker does not understand", hint="use one version of analyze")
        lists = {key: tuple(value) for key, value in data.items() if isinstance(value, list)}
        return cls(**{**data, **lists})


@dataclass(frozen=True, slots=True)
class Lent:
    """Another repository of which a worker may read files: where they really lie, and by which names."""

    name: str
    """Its hub id; "" for a folder that is named by its path."""
    commit: str
    refs: tuple[str, ...]
    files: tuple[tuple[str, str], ...]
    """Name in the repository, and the real file, of each; with "" for a name, the whole folder."""

    @classmethod
    def from_json(cls, data: dict[str, str], refs: list[str], files: list[list[str]]) -> Lent:
        """What plain data stands for."""
        return cls(data["name"], data["commit"], tuple(refs), tuple((name, real) for name, real in files))


@dataclass(frozen=True, slots=True)
class Setup:
    """What a worker is told first: where it may write, what it may read, and how it is bounded."""

    scratch: str
    """A folder that is made when the worker is started."""
    readable: tuple[str, ...] = ()
    """Folders and files that it may read beside the interpreter's own."""
    address_space: int = 0
    """Bytes; 0 is no bound."""
    debug: bool = False
    lent: tuple[Lent, ...] = ()
    """Other repositories that the model names."""
    packages: str = ""
    """A folder of packages that come before the interpreter's own; "" is none."""

    def to_json(self) -> JsonObject:
        """The set-up as plain data, with the version of the protocol."""
        return {"protocol": VERSION, **asdict(self)}

    @classmethod
    def from_json(cls, data: object) -> Setup:
        """The set-up that plain data stands for. Raises AnalyzerError for another version of the protocol."""
        if not isinstance(data, dict) or data.pop("protocol", None) != VERSION:
            raise AnalyzerError(f"the worker speaks protocol {VERSION} alone", hint="use one version of analyze")
        lent = tuple(Lent.from_json(one, one["refs"], one["files"]) for one in data["lent"])
        return cls(**{**data, "readable": tuple(data["readable"]), "lent": lent})


def line(data: Mapping[str, object]) -> bytes:
    """One message as a line."""
    return (json.dumps(data) + "\n").encode()


def read_line(raw: bytes) -> dict[str, object]:
    """The message in a line. Raises ValueError for what is none."""
    try:
        data = json.loads(raw)
    except RecursionError as error:
        raise ValueError("nested too deep") from error
    if not isinstance(data, dict):
        raise ValueError("no object")
    return data


def read_request(raw: bytes) -> Request:
    """The request in a line. Raises ValueError for what is none."""
    return cast(Request, read_line(raw))  # only a front of this very version speaks to a worker


def read_event(raw: bytes) -> dict[str, str]:
    """The event in a line that a worker wrote, which is not trusted: it has a known kind, and its texts are texts.

    Raises ValueError for anything else.
    """
    data = read_line(raw)
    if data.get("event") not in get_args(Event):
        raise ValueError("an unknown event")
    texts = {}
    for key, value in data.items():
        if not isinstance(value, str):
            raise ValueError(f"'{key}' is no text")
        texts[key] = value
    return texts


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
