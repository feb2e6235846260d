"""Counts outcomes of each kind, and puts failures with one cause together."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Final

from tests.fuzzing.inputs import Input
from tests.fuzzing.verdict import Seen, Verdict

_FRAME: Final = re.compile(r'^  File "([^"]+)", line (\d+), in (\S+)', re.MULTILINE)
_STUCK: Final = re.compile(r'^  File "([^"]+)", line (\d+) in (\S+)', re.MULTILINE)
_RAISED: Final = re.compile(r"^([A-Za-z_][\w.]*?)(?::|$)", re.MULTILINE)
_OURS: Final = re.compile(r".*/(analyzer/.*)")
_THEIRS: Final = re.compile(r".*/(?:site-packages|lib/python[\d.]+)/(.*)")
_TOLD: Final = "_told"
"""Where a worker hears that it is to stop; what is looked for is where it was."""
_PLACED: Final = ("FAULT error", "FAULT long line", "FAULT hang", "FAULT memory", "deadline", "memory")
"""Outcomes whose cause is told by a place better than by words."""
_EXAMPLES: Final = 8
_ODD_TEXT: Final = re.compile(r"'[^']*'|\"[^\"]*\"|\([^)]*\)|/\S+|\\[ux]\w+")


@dataclass(frozen=True, slots=True)
class Result:
    """What came of one input."""

    kind: str
    name: str
    seed: str
    outcome: str
    words: str
    raised: str
    """The type of the exception, where there was one."""
    frame: str
    """The last place in analyze: `analyzer/loaders/x.py:12 function`."""
    last: str
    """The last place of all."""
    trail: tuple[str, ...]
    seconds: float
    memory: int
    """MiB of the worker and of the front, whichever took more."""

    @property
    def counts(self) -> bool:
        """Whether it is kept: a fault, or ended by a limit."""
        return self.outcome.startswith("FAULT") or self.outcome in ("deadline", "memory")

    @property
    def cause(self) -> str:
        """The same for results that most likely have one cause."""
        if self.frame and self.outcome in _PLACED:
            return f"{self.outcome}: {self.raised} at {self.frame}"
        return f"{self.outcome}: {plain(self.words)}"


def plain(words: str) -> str:
    """A message without what differs from input to input."""
    return re.sub(r"\d+", "N", _ODD_TEXT.sub("*", words))[:160]


def result(one: Input, seen: Seen, verdict: Verdict) -> Result:
    """What is kept of a run."""
    frames = [frame for frame in _FRAME.findall(seen.traceback) if frame[2] != _TOLD]
    frames = _STUCK.findall(seen.stuck)[::-1] or frames
    ours = [f"{found[1]}:{line} {function}" for file, line, function in frames if (found := _OURS.match(file))]
    last = frames[-1] if frames else ("", "", "")
    raised = _RAISED.findall(seen.traceback.rstrip().rpartition("\n  ")[2].partition("\n")[2] or "")
    theirs = _THEIRS.match(last[0]) or _OURS.match(last[0])
    return Result(
        one.name.partition(":")[0], one.name, one.seed, verdict.outcome, verdict.words, next(iter(raised), ""),
        ours[-1] if ours else "", f"{theirs[1] if theirs else last[0]}:{last[1]} {last[2]}" if frames else "",
        one.trail, round(seen.seconds, 2), max(seen.front, seen.worker) >> 20,
    )  # fmt: skip


@dataclass(slots=True)
class Group:
    """Failures with one cause."""

    count: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    last: Counter[str] = field(default_factory=Counter)
    words: str = ""
    examples: list[str] = field(default_factory=list)
    """`--seed S --only KIND:N`, and what was done there."""

    def add(self, one: Result, seed: int) -> None:
        """One more."""
        self.count += 1
        self.kinds[one.kind] += 1
        self.last[one.last] += 1
        self.words = self.words or one.words[:400]
        if len(self.examples) < _EXAMPLES:
            self.examples.append(f"--seed {seed} --only {one.name}  ({one.seed}; {'; '.join(one.trail)})"[:400])


@dataclass(slots=True)
class Results:
    """All results of one or several runs."""

    outcomes: dict[str, Counter[str]] = field(default_factory=dict)
    """Kind -> outcome -> count."""
    seconds: Counter[str] = field(default_factory=Counter)
    """Kind -> seconds that its inputs took."""
    groups: dict[str, Group] = field(default_factory=dict)
    reached: dict[str, int] = field(default_factory=dict)
    """`SEED KIND` -> the number that comes next."""

    def add(self, one: Result, seed: int) -> None:
        """Count one."""
        self.outcomes.setdefault(one.kind, Counter())[one.outcome] += 1
        self.seconds[one.kind] += one.seconds  # type: ignore[assignment]
        if one.counts:
            self.groups.setdefault(one.cause, Group()).add(one, seed)

    def ranked(self) -> Iterator[tuple[str, Group]]:
        """The groups, faults first, the most frequent of them first."""
        return iter(
            sorted(self.groups.items(), key=lambda item: (not item[0].startswith("FAULT"), -item[1].count, item[0]))
        )

    @property
    def faults(self) -> int:
        """How many inputs made analyze do what it must never do."""
        return sum(n for counts in self.outcomes.values() for name, n in counts.items() if name.startswith("FAULT"))

    def save(self, file: Path) -> None:
        """Write them, whole or not at all."""
        made = file.with_name(f"{file.name}.part")
        data = {
            "outcomes": self.outcomes,
            "seconds": self.seconds,
            "groups": {cause: {one.name: getattr(group, one.name) for one in fields(group)}
                       for cause, group in self.groups.items()},
            "reached": self.reached,
        }  # fmt: skip
        made.write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
        made.replace(file)

    @classmethod
    def read(cls, file: Path) -> Results:
        """Those of earlier runs; none where there is no such file."""
        if not file.is_file():
            return cls()
        data = json.loads(file.read_text(encoding="utf-8"))
        groups = {
            cause: Group(one["count"], Counter(one["kinds"]), Counter(one["last"]), one["words"], one["examples"])
            for cause, one in data["groups"].items()
        }
        outcomes = {kind: Counter(counts) for kind, counts in data["outcomes"].items()}
        return cls(outcomes, Counter(data["seconds"]), groups, data["reached"])
