"""What came of proposed fixes as JSON, there and back: all that a table, a diff and applying one of them need."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from json import dumps, loads
from pathlib import PurePosixPath
from typing import Final, get_type_hints

from analyzer.errors import AnalyzerError
from analyzer.ir.fixes.proposals import Edit, Trial
from analyzer.ir.plan import Plan
from analyzer.report.json_value import JsonObject
from analyzer.report.records import Misfit, parse_value, read_record, read_value

SCHEMA: Final = 1
_HINT: Final = "it is not what trials_to_json writes"


@dataclass(frozen=True, slots=True)
class Tried:
    """The trials over all stages, best first."""

    errors: int
    """How many errors there are without any change."""
    trials: tuple[Trial, ...]
    plans: tuple[Plan, ...] = ()
    """The plan of each stage that the proposals change."""
    incomplete: str = ""
    """Why a run stopped early, so that there may be more errors; "" if every run came to its end."""


def trials_to_json(errors: int, trials: Sequence[Trial], plans: Sequence[Plan] = (), incomplete: str = "") -> bytes:
    """The trials as JSON, their proposals whole: plans, and the text of each source file before and after."""
    tried = {
        "schema": SCHEMA,
        "errors": errors,
        "trials": [_plain(trial) for trial in trials],
        "plans": list(map(asdict, plans)),
        "incomplete": incomplete,
    }
    return (dumps(tried, allow_nan=False) + "\n").encode()


def parse_trials(data: bytes, what: str) -> Tried:
    """What `trials_to_json` wrote; `what` names the bytes in an error.

    Raises AnalyzerError, in one line, for whatever else they hold.
    """
    try:
        found = loads(data)
        if type(found) is not dict or found.get("schema") != SCHEMA:
            raise Misfit(f"it holds no trials of version {SCHEMA}")
        tried = read_record(Tried, found)
        return replace(tried, trials=tuple(map(_checked, tried.trials)))
    except (Misfit, ValueError, RecursionError) as error:
        raise AnalyzerError(f"{what} cannot be read: {error}", hint=_HINT) from error


def parse_edits(data: bytes, count: int, what: str) -> tuple[Edit | None, ...]:
    """One edit, or null, for each of so many findings, out of a JSON list. Raises AnalyzerError for anything else."""
    found = parse_value(tuple[Edit | None, ...], data, what)
    if len(found) != count or not all(edit is None or _may_be(edit) for edit in found):
        raise AnalyzerError(
            f"{what} cannot be read: it is not one edit of the model's code for each finding", hint=_HINT
        )
    return found


def _may_be(edit: Edit) -> bool:
    """Whether an edit is of a Python file inside the model's folder, at a line that a file can have."""
    name = PurePosixPath(edit.file)
    inside = not name.is_absolute() and ".." not in name.parts and "\\" not in edit.file and "\0" not in edit.file
    return inside and name.suffix == ".py" and 1 <= edit.line <= len(edit.before.splitlines()) + 1


def _plain(trial: Trial) -> JsonObject:
    data = asdict(trial)
    inputs = trial.proposal.inputs
    data["proposal"]["inputs"] = None if inputs is None else str(inputs)
    return data


def _checked(trial: Trial) -> Trial:
    """The trial, the values of its change being what the fields of a plan hold. Raises Misfit."""
    proposal = trial.proposal
    if not all(map(_may_be, proposal.edits)):
        raise Misfit("an edit is of no Python file inside the model's folder")
    fields = get_type_hints(Plan)
    if strangers := proposal.change.keys() - fields.keys():
        raise Misfit(f"a plan has no field {min(strangers)[:40]}")
    change = {name: read_value(fields[name], value) for name, value in proposal.change.items()}
    return replace(trial, proposal=replace(proposal, change=change))
