"""Judges the findings of a report against a baseline and suppressions: which are new, known, or accepted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from analyzer.check.baseline import Baseline, Entry, union
from analyzer.check.keys import Identity, identities
from analyzer.check.suppressions import Suppression
from analyzer.foreign import is_file
from analyzer.ir.dtypes import width
from analyzer.ir.findings import Finding
from analyzer.ir.literal_types import SEVERITIES, Severity, State

if TYPE_CHECKING:  # these stand on torch; here they are only read
    from analyzer.ir.fixes.proposals import Edit
    from analyzer.report import Report

NEW: Final = "new"
KNOWN: Final = "known"
SUPPRESSED: Final = "suppressed"
JUDGED: Final[tuple[Severity, ...]] = ("error", "warning")
"""Severities that are judged; notes are what a report keeps quiet about."""
MANIFESTS: Final = ("config.json", "model_index.json", "adapter_config.json", "modules.json")
"""Files that stand for a model folder, where no line of its own code is to blame."""


@dataclass(frozen=True, slots=True)
class Spot:
    """Where a review shows a finding: a file of the repository, by its path there, and a line from 1 on."""

    path: str
    line: int
    own: bool = True
    """Whether it is the finding's own line; else the one that stands for it."""


@dataclass(frozen=True, slots=True)
class Judged:
    """One finding and what became of it; `stages` are those of a recipe that show it."""

    finding: Finding
    identity: Identity
    state: State
    spot: Spot
    reason: str = ""
    """Why it is suppressed."""
    reason_at: str = ""
    """Where that is written."""
    in_comment: bool = False
    """Whether that is a comment at the source line itself."""
    stages: tuple[str, ...] = ()
    edit: Edit | None = None
    """A change of the source that was proved to help."""

    @property
    def key(self) -> str:
        """Its name across revisions."""
        return self.identity.key


@dataclass(frozen=True, slots=True)
class Check:
    """The judgement over a report."""

    report: Report
    judged: tuple[Judged, ...]
    fails_on: tuple[Severity, ...] = JUDGED
    """The severities that fail a check when they are new."""
    gone: tuple[Entry, ...] = ()
    """Entries of the baseline that nothing was found for."""
    unused: tuple[Suppression, ...] = ()
    """Suppressions that nothing was found for, and those that are not valid."""
    folder: str = ""
    """The model folder, by its path in the repository."""
    own_files: frozenset[str] = frozenset()
    """Of the files that findings and origins name, those that lie in the model folder."""
    counts: Mapping[State, int] = field(default_factory=dict)
    """How many findings there are of each state."""
    stop: Spot | None = None
    """Where a review shows that a run stopped early; None if none did."""
    allow_incomplete: bool = False
    """Whether the person who asked takes a run that stopped early for no failure."""
    notes: bool = False
    """Whether that person wants to read the details of notes."""

    @property
    def failing(self) -> tuple[Judged, ...]:
        """The findings that make the check fail."""
        return tuple(one for one in self.judged if one.state == NEW and one.finding.severity in self.fails_on)

    @property
    def shown(self) -> tuple[Judged, ...]:
        """The findings that are not suppressed, new ones first."""
        return tuple(one for state in (NEW, KNOWN) for one in self.judged if one.state == state)

    @property
    def incomplete(self) -> str:
        """Why a run stopped early; "" if none did."""
        return self.report.incomplete

    @property
    def surely_unused(self) -> tuple[Suppression, ...]:
        """The unused suppressions that no later part of a run that stopped early could have needed."""
        return tuple(one for one in self.unused if one.fault or not self.incomplete)

    def baseline(self, old: Baseline) -> Baseline:
        """What a baseline file holds from now on: all that is not suppressed.

        After a run that stopped early also what the old one held, since it was not looked for everywhere.
        """
        found = [Entry.of(one.finding, one.identity) for one in self.shown]
        return union([*found, *(old.entries if self.incomplete else ())])


def judge(
    report: Report,
    model: Path,
    root: Path,
    *,
    baseline: Baseline | None = None,
    suppressions: Sequence[Suppression] = (),
    fails_on: tuple[Severity, ...] = JUDGED,
) -> Check:
    """Judge every error and warning of all stages of a model folder or file; paths are shown relative to `root`."""
    folder = model if model.is_dir() else model.parent
    known = baseline.keys if baseline else frozenset()
    used: set[Suppression] = set()
    judged: dict[str, Judged] = {}
    for stage in report.stages:
        for finding, identity in identities(stage):
            if finding.severity not in JUDGED:
                continue
            covering = [one for one in suppressions if one.covers(finding)]
            used.update(covering)
            names = (stage.plan.stage,) if stage.plan.stage else ()
            if before := judged.get(identity.key):
                judged[identity.key] = replace(before, stages=(*before.stages, *names))
            else:
                one = _judged(finding, identity, covering, known, _spot(finding, model, folder, root))
                judged[identity.key] = replace(one, stages=names)
    ordered = tuple(sorted(judged.values(), key=lambda one: SEVERITIES.index(one.finding.severity)))
    entries = baseline.entries if baseline else ()
    return Check(
        report,
        ordered,
        fails_on,
        tuple(entry for entry in entries if entry.key not in judged),
        tuple(one for one in suppressions if one not in used),
        within(folder, root),
        _own_files(ordered, folder),
        _counts(ordered),
        _stop(report, model, folder, root),
    )


def _judged(
    finding: Finding, identity: Identity, covering: Sequence[Suppression], known: Set[str], spot: Spot
) -> Judged:
    """One finding: suppressed by the first suppression that covers it, else known, else new."""
    if covering:
        first = covering[0]
        return Judged(finding, identity, SUPPRESSED, spot, first.reason, first.where, first.in_comment)
    return Judged(finding, identity, KNOWN if identity.key in known else NEW, spot)


def within(path: Path, root: Path) -> str:
    """A path as the repository knows it: relative to its root, else absolute, with slashes."""
    whole, base = path.resolve(), root.resolve()
    return (whole.relative_to(base) if whole.is_relative_to(base) else whole).as_posix()


def _spot(finding: Finding, model: Path, folder: Path, root: Path) -> Spot:
    """The finding's own line if the folder holds it, else the line of an origin there, else the folder's manifest."""
    origins = (o for operand in finding.operands for o in operand.origins)
    blamed = sorted(origins, key=lambda origin: -width(origin.dtype))  # the wide one is the odd one
    places = [(finding.file, finding.line), *((origin.file, origin.line) for origin in blamed)]
    return _first_own(places, model, folder, root)


def _stop(report: Report, model: Path, folder: Path, root: Path) -> Spot | None:
    """The line at which the first run that ended early did so, as far as the folder holds it."""
    early = next((one for one in report.stages if one.coverage.incomplete), None)
    if early is None:
        return None
    stop = early.graph.stop
    return _first_own([(stop.place.file, stop.place.line)] if stop else [], model, folder, root)


def _first_own(places: Iterable[tuple[str, int]], model: Path, folder: Path, root: Path) -> Spot:
    """The first of the places that lies in the folder, else the folder's manifest."""
    for number, (file, line) in enumerate(places):
        if _own(file, folder):
            return Spot(within(folder / file, root), max(line, 1), number == 0)
    manifests = (model / name for name in MANIFESTS)
    return Spot(within(next((one for one in manifests if one.is_file()), model), root), 1, False)


def _own_files(judged: Iterable[Judged], folder: Path) -> frozenset[str]:
    return frozenset(file for one in judged for file in _files(one.finding) if _own(file, folder))


def _counts(judged: Sequence[Judged]) -> dict[State, int]:
    return {state: sum(one.state == state for one in judged) for state in (NEW, KNOWN, SUPPRESSED)}


def _own(file: str, folder: Path) -> bool:
    return bool(file) and not Path(file).is_absolute() and is_file(folder / file)


def _files(finding: Finding) -> set[str]:
    return {finding.file, *(origin.file for operand in finding.operands for origin in operand.origins)}
