"""Proposals of fixes as values: how each changes the set-up or the source, and what came of it when it was tried."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from analyzer.ir.fixes.effects import Effect, values
from analyzer.ir.fixes.proof import NOT_RUN, RealRun
from analyzer.ir.literal_types import PROPOSALS, FailureKind, ProposalKind
from analyzer.ir.plan import FieldValue, Plan


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
    of_inputs: bool = False
    """Whether the file is the one that a person named with --inputs."""


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
    change: Mapping[str, FieldValue] = field(default_factory=dict)
    """Fields of the plan that it sets."""
    stages: tuple[Plan, ...] = ()
    """The plan of each stage as another recipe makes it; `change` comes on top."""
    edits: tuple[Edit, ...] = ()
    """Changes of the model's own code, one for a file."""
    inputs: Path | None = None
    """Another inputs file."""
    impossible: Failure | None = None
    """Why it cannot even be tried; None if it can."""
    numbers: tuple[Effect, ...] = ()
    """Numbers of the code that it replaces."""
    narrows: int = 0
    """How many casts that somebody wrote it makes narrower."""

    @property
    def code_edits(self) -> tuple[Edit, ...]:
        """The edits of the model's folder."""
        return tuple(edit for edit in self.edits if not edit.of_inputs)

    @property
    def sets(self) -> bool:
        """Whether it changes the set-up, alone or beside the source."""
        return bool(self.change or self.stages)

    @property
    def cast(self) -> Mapping[str, str]:
        """The dtype of each stored tensor, or of what holds it, that the change sets."""
        return self._dtypes("set")

    @property
    def given(self) -> Mapping[str, str]:
        """The dtype of each input that the change sets."""
        return self._dtypes("input_dtypes")

    def _dtypes(self, key: str) -> Mapping[str, str]:
        found = self.change.get(key)
        return found if isinstance(found, Mapping) else {}

    def does(self, other: Proposal) -> bool:
        """Whether it changes what another one changes, in other words."""
        mine, its = ((one.change, one.stages, one.edits, one.inputs) for one in (self, other))
        return mine == its

    def plan(self, plan: Plan) -> Plan:
        """The plan with the change made. Raises AnalyzerError for a value that a plan refuses."""
        plan = next((other for other in self.stages if other.stage == plan.stage), plan)
        return plan.changed(self.change)


@dataclass(frozen=True, slots=True)
class Trial:
    """What a proposal does, over all stages; `ran` tells whether the model was captured under it."""

    proposal: Proposal
    ran: bool = False
    errors_before: int = 0
    errors_left: int = 0
    new_promotions: int = 0
    bytes: int = 0
    places: int = 0
    casts: str = ""
    """What it casts: `1 parameter f32->bf16, 80 buffers f32->bf16`."""
    failed: Failure | None = None
    """Why it could not be run; None if nothing kept it from that."""
    losses: int = 0
    """How often precision is lost that somebody chose: see `value_effects.collateral`."""
    effects: tuple[Effect, ...] = ()
    """What becomes of the values."""

    new_warnings: int = 0
    """How many warnings the trace has under the change that it has not without it, new promotions among them."""
    outputs: str = ""
    """Which results have another dtype: `1 output bf16->f32`."""
    real: RealRun = NOT_RUN
    """What the real run says of a change under which fewer errors were left in the trace."""

    @property
    def helps(self) -> bool:
        """Whether it left fewer errors in the trace than there were, and no real run speaks against it."""
        return self.ran and self.errors_left < self.errors_before and self.real.kind != "fails"

    @property
    def proved(self) -> bool:
        """Whether it left fewer errors in the trace and no new warning, and mends the model that is really run."""
        return self.helps and not self.new_warnings and self.real.kind == "mends"

    @property
    def clears(self) -> bool:
        """Whether no error was left in the trace, and no real run speaks against it: see `proved`."""
        return self.ran and self.errors_left == 0 and self.real.kind != "fails"

    @property
    def rank(self) -> tuple[bool, bool, int, int, int, int, int, int, int, int, str]:
        """Sort key, a total order: nothing about when or in which order it was tried is in it.

        What was proved comes before all else, then what was cleared in the trace alone, that with fewer errors left
        first; then the least precision lost that somebody chose, the fewest new warnings, the fewest places, the least
        memory in bytes, the fewest values that are rounded, the narrower kind, the fewest casts at run time, and the
        words.
        """
        kind = PROPOSALS.index(self.proposal.kind)
        rounded = sum(not one.exact for one in self.effects if one.kind != "number")
        casts = sum(one.kind == "cast" for one in self.effects)
        cost = self.losses, self.new_promotions, self.places, self.bytes, rounded
        return (not self.proved, not self.helps, self.errors_left, *cost, kind, casts, self.proposal.what)

    @property
    def values(self) -> str:
        """What becomes of the values, in a few words."""
        return values(self.effects)

    def verdict(self) -> str:
        """The trial in a few words, with the reason where there is one."""
        return f"{self.outcome}: {self.why}" if self.why else self.outcome

    @property
    def outcome(self) -> str:
        """The trial in a few words, without a reason."""
        if self.failed:
            return self.failed.kind
        if not self.ran:
            return "not run"
        if not self.errors_before:
            return "no error before or after" if self.clears else f"makes {_errors(self.errors_left)}"
        left = f"{_errors(self.errors_left)} left of {self.errors_before}"
        if self.errors_left >= self.errors_before:
            return f"does not help: {left}"
        if self.real.kind == "mends":
            warned = f"{self.new_warnings} new warning{'s' * (self.new_warnings > 1)}"
            word = f"runs, with {warned}" if self.new_warnings else "proved"
            return f"{word} in part: {left}" if self.errors_left else f"{word}: clears all"
        return f"{self.real.words} ({left})" if self.errors_left and self.helps else self.real.words

    @property
    def why(self) -> str:
        """Why it could not be tried, was not really run, or does not help there."""
        if self.failed:
            return self.failed.why
        return self.real.why if self.ran and self.errors_left < self.errors_before else ""


def _errors(count: int) -> str:
    return f"{count} error{'' if count == 1 else 's'}"
