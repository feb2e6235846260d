"""One proposal: what it says, and how it changes the set-up, the source, or both."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from analyzer.ir.closed_sets import FailureKind, ProposalKind
from analyzer.ir.plan import Plan


@dataclass(frozen=True, slots=True)
class Edit:
    """The change of one source file in the model folder: the file's name there, its text before and after."""

    file: str
    line: int
    """The first line that changes."""
    before: str
    after: str
    casts: int = 1
    """How many lines get a cast."""


@dataclass(frozen=True, slots=True)
class Failure:
    """What kept a proposal from being tried, and why.

    >>> str(Failure("could not be run", "the model has no forward"))
    'could not be run: the model has no forward'
    """

    kind: FailureKind
    why: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.why}"


@dataclass(frozen=True, slots=True)
class Proposal:
    """A change that may clear errors, of one kind."""

    kind: ProposalKind
    what: str
    change: Mapping[str, Any] = field(default_factory=dict)
    """Fields of the plan that it sets."""
    stages: tuple[Plan, ...] = ()
    """The plan of each stage as another recipe makes it; `change` comes on top."""
    edits: tuple[Edit, ...] = ()
    """Changes of the model's own code, one for a file."""
    inputs: Path | None = None
    """Another inputs file."""
    impossible: Failure | None = None
    """Why it cannot even be tried; None if it can."""

    @property
    def sets(self) -> bool:
        """Whether it changes the set-up, alone or beside the source."""
        return bool(self.change or self.stages)

    def does(self, other: Proposal) -> bool:
        """Whether it changes what another one changes, in other words."""
        mine, its = ((one.change, one.stages, one.edits, one.inputs) for one in (self, other))
        return mine == its

    def plan(self, plan: Plan) -> Plan:
        """The plan with the change made. Raises AnalyzerError for a value that a plan refuses."""
        plan = next((other for other in self.stages if other.stage == plan.stage), plan)
        return plan.changed(self.change)
