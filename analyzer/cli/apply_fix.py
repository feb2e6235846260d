"""Writes the best fix that clears every error: as a plan, as a patched copy of the code, or over the code itself."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, Literal

from analyzer.errors import AnalyzerError
from analyzer.foreign import is_file, read_small
from analyzer.foreign.links import is_own, lies_in
from analyzer.ir.fixes.proposals import Edit, Proposal, Trial
from analyzer.ir.plan import Plan
from analyzer.output_files import deliver, deliver_all, deliver_folder

Form = Literal["plan", "copy", "in place"]
"""What a fix is written as."""
_CODE: Final = (".py", ".json")
"""What of a model folder a patched copy holds."""
_INPUTS: Final = "analyze_inputs.py"
"""The name of an inputs file in a patched copy, where it is found without being named."""
_PLAN: Final = "plan.json"
"""The file in a patched copy that holds the set-up which the patch needs."""


def apply(
    model: Path, plans: Sequence[Plan], trials: Sequence[Trial], target: Path | None, inputs: Path | None = None
) -> list[str]:
    """Write the best fix of the wanted form into `target`, or over the code where there is none; what is to be told.

    The code is the model's own, or the file of a person that makes its inputs. What is proved comes first; what was
    cleared in the trace alone is written where nothing is, and that is told. Raises AnalyzerError where no such fix
    clears every error, or where it cannot be written.
    """
    form: Form = "in place" if target is None else "plan" if target.suffix == ".json" else "copy"
    trial = _best(trials, form)
    best = trial.proposal
    applied = f"applied: {best.what}" + ("" if trial.proved else f" ({trial.verdict()})")
    _check(model, best, inputs)
    plan = _plan_file(best, plans) if best.sets else b""
    if target is None:
        _over(model, best, inputs)
    elif form == "plan":
        deliver(str(target), plan)
    else:
        deliver_folder(target, dict(_patched(model, best, plan)))
        if plan:
            return [f"the patch needs its set-up too: run with --plan {target / _PLAN}", applied]
    return [applied]


def _best(trials: Sequence[Trial], form: Form) -> Trial:
    """The first that clears all errors and can be written so; an inputs file can be written in no form."""
    for trial in trials:
        one = trial.proposal
        if trial.clears and one.inputs is None and _fits(one, form):
            return trial
    kind = "change of the set-up alone" if form == "plan" else "cast in the source"
    raise AnalyzerError(f"no {kind} clears all errors", hint="see the table for what helps")


def _check(model: Path, proposal: Proposal, inputs: Path | None) -> None:
    """Refuse edits of anything but code that a person named, as it is: the worker that made them ran foreign code."""
    folder, own = _folder(model), set(_code(model))
    for edit in proposal.edits:
        file = _file(model, edit, inputs)
        if file is None or (not edit.of_inputs and (edit.file not in own or not lies_in(file, folder))):
            raise AnalyzerError(f"the fix changes {edit.file}, which is no code of {model}", hint="nothing was written")
        if file.read_bytes().decode("utf-8", "surrogateescape") != edit.before:
            raise AnalyzerError(f"{file} has changed since it was traced", hint="run analyze fix again")


def _file(model: Path, edit: Edit, inputs: Path | None) -> Path | None:
    """The file that an edit changes; None if it is to be the inputs file, and is none."""
    if not edit.of_inputs:
        return _folder(model) / edit.file
    return inputs if inputs is not None and inputs.name == edit.file else None


def _fits(proposal: Proposal, form: Form) -> bool:
    if form == "plan":
        return proposal.sets and not proposal.edits
    return bool(proposal.edits) and not (form == "in place" and proposal.sets)  # a copy holds a plan beside the code


def _plan_file(proposal: Proposal, plans: Sequence[Plan]) -> bytes:
    from analyzer.plans import dump

    return dump([proposal.plan(plan) for plan in plans])


def _over(model: Path, proposal: Proposal, inputs: Path | None) -> None:
    """Patch the code itself and keep each file as `.orig`; nothing is written if one of those is there already."""
    folder = _folder(model)
    files = ((_file(model, edit, inputs), edit.after.encode()) for edit in proposal.edits)
    changed = {file: content for file, content in files if file is not None}
    kept = {file: file.with_name(f"{file.name}.orig") for file in changed}
    if there := [one for one in kept.values() if one.exists()]:
        raise AnalyzerError(f"{there[0]} is there already", hint="move it away first")
    deliver_all({kept[file]: file.read_bytes() for file in changed} | changed, str(folder))


def _patched(model: Path, proposal: Proposal, plan: bytes) -> Iterator[tuple[str, bytes]]:
    """Name and content of every file of a patched copy."""
    folder = _folder(model)
    edits = {_INPUTS if edit.of_inputs else edit.file: edit.after.encode() for edit in proposal.edits}
    for name in _code(model):
        if name not in edits:
            yield name, read_small(folder / name)
    yield from edits.items()
    if plan:
        yield _PLAN, plan


def _folder(model: Path) -> Path:
    return model if model.is_dir() else model.parent


def _code(model: Path) -> Iterator[str]:
    """The code and the settings of a model folder and of the folders in it, never its weights.

    Of a Python file it is the file, and the modules and packages beside it: its folder may hold anything.
    """
    folder = _folder(model)
    for file in sorted(_beside(model) if model.is_file() else model.rglob("*")):
        name = file.relative_to(folder)
        hidden = any(part.startswith(".") or part == "__pycache__" for part in name.parts)
        if file.suffix in _CODE and is_file(file) and is_own(file, folder) and not hidden:
            yield name.as_posix()


def _beside(file: Path) -> Iterator[Path]:
    yield from file.parent.glob("*.py")
    for package in file.parent.glob("*/__init__.py"):
        yield from package.parent.rglob("*.py")
