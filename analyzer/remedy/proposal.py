"""One proposal: what it says, and how it changes the set-up or the source."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from analyzer.plan import Plan


@dataclass(frozen=True)
class Edit:
    """One change of a source file in the model folder: the file's name there, its text before and after."""

    file: str
    line: int
    before: str
    after: str


@dataclass(frozen=True)
class Proposal:
    """A change that may clear errors; `kind` is stored, component, model, input, autocast, source or asked."""

    kind: str
    what: str
    change: Mapping[str, Any] = field(default_factory=dict)
    """Fields of the plan that it sets."""
    stages: tuple[Plan, ...] = ()
    """The plan of each stage as another recipe makes it; `change` comes on top."""
    edit: Edit | None = None
    inputs: Path | None = None
    """Another inputs file."""
    impossible: str = ""
    """Why it cannot even be tried."""

    def plan(self, plan: Plan) -> Plan:
        """The plan with the change made. Raises AnalyzerError for a value that a plan refuses."""
        plan = next((other for other in self.stages if other.stage == plan.stage), plan)
        return plan.changed(self.change)
