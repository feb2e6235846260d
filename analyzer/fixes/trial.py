"""The trial: captures the model again under a proposal and says what is left, what is new and what it costs."""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from analyzer import rules
from analyzer.capture import Captured, Loaded
from analyzer.errors import AnalyzerError, NoMatch
from analyzer.fixes.source_file import folder_of
from analyzer.fixes.value_effects import collateral, copies, effects
from analyzer.fixes.writes import NO_WRITES, Reach, lost, reached
from analyzer.ir.dtypes import kind, short
from analyzer.ir.findings import Finding
from analyzer.ir.fixes.proposals import Failure, Proposal, Trial
from analyzer.ir.flow import Flow
from analyzer.ir.graph import CAST
from analyzer.ir.inventory import Inventory
from analyzer.ir.plan import Plan
from analyzer.propagate import propagate

_LINKED: Final = 1 << 20
"""Bytes; larger files of the model folder are linked into a trial copy, not copied."""
_LEFT_OUT: Final = (".*", "__pycache__")

Reload = Callable[[Plan, "Path | None", "Path | None"], tuple[Loaded, Captured]]
"""Loads and runs the model again under a plan, from another folder or file and with another inputs file where given."""


@dataclass(frozen=True, slots=True)
class Case:
    """One stage as it is: its plan, what the run gave, what was found."""

    plan: Plan
    flow: Flow
    findings: tuple[Finding, ...]
    reach: Reach = NO_WRITES
    """What the writes of the run reach."""
    loaded: Loaded | None = None
    """What was run, with the inputs that were found to fit."""

    @classmethod
    def of(cls, loaded: Loaded, captured: Captured, plan: Plan) -> Case:
        """What the capture of a loaded model under a plan gives; raises AnalyzerError if nothing ran."""
        flow = propagate(captured.some().graph, plan, inventory=loaded.inventory)
        return cls(plan, flow, tuple(rules.check(flow)), reached(captured), loaded)

    @property
    def errors(self) -> int:
        """How many errors were found."""
        return sum(finding.severity == "error" for finding in self.findings)


def attempt(cases: Sequence[Case], model: Path, reload: Reload, proposal: Proposal) -> Trial:
    """The trial of one proposal, over all stages."""
    before = sum(case.errors for case in cases)
    failed = proposal.impossible
    after: list[tuple[Case, Case]] = []
    if not failed:
        try:
            with patched_copy(model, proposal) as at:
                after = [(case, _again(case, proposal, reload, at)) for case in cases]
            failed = next((short_ for pair in after if (short_ := _falls_short(*pair))), None)
        except NoMatch as error:
            failed = Failure("cannot be set", str(error))
        except AnalyzerError as error:
            failed = Failure("could not be run", str(error))
    if failed:
        return Trial(proposal, errors_before=before, errors_left=before, failed=failed)
    return _counted(proposal, before, after)


def _counted(proposal: Proposal, before: int, after: Sequence[tuple[Case, Case]]) -> Trial:
    """What a proposal that ran does, and what it costs."""
    first = max(after, key=lambda pair: len(_changed(*_held(pair))))
    old, new = (case.flow for case in first)
    changed = _changed(*_held(first))
    return Trial(
        proposal,
        ran=True,
        errors_before=before,
        errors_left=sum(new.errors for _, new in after),
        new_promotions=sum(len(_promotions(new) - _promotions(old)) for old, new in after),
        bytes=_size(new) - _size(old),
        places=len(changed) + _places(proposal),
        casts=_casts(changed),
        new_warnings=sum(len(warned(new.findings) - warned(old.findings)) for old, new in after),
        outputs="" if proposal.inputs else other_outputs(old, new),
        losses=proposal.narrows + sum(collateral(old.flow, new.flow) for old, new in after),
        effects=(*proposal.numbers, *effects(old, new)),
    )


def _places(proposal: Proposal) -> int:
    """How many places change besides stored tensors: lines, inputs, and fields of the plan that name no tensor."""
    edited = sum(edit.casts for edit in proposal.edits)
    around = sum(1 for key in proposal.change if key not in ("set", "input_dtypes", "to", "dtype"))
    return len(proposal.given) + around + bool(proposal.stages) + edited + bool(proposal.inputs and not edited)


def _again(case: Case, proposal: Proposal, reload: Reload, at: Path | None) -> Case:
    plan = proposal.plan(case.plan)
    return Case.of(*reload(plan, at, proposal.inputs), plan)


@contextmanager
def patched_copy(model: Path, proposal: Proposal) -> Iterator[Path | None]:
    """A copy of the folder or file with the edits made, for as long as the trial runs; None where there is none."""
    if not proposal.code_edits:
        yield None
        return
    with tempfile.TemporaryDirectory() as made:
        target = Path(made).resolve() / "model"
        files = {Path(edit.file): edit.after.encode() for edit in proposal.code_edits}
        folder = folder_of(model)
        if folder != model:  # it may lie in a folder of anything
            _mirror(folder, target, files)
            yield target / model.name
            return
        shutil.copytree(folder, target, copy_function=_copy_or_link, ignore=shutil.ignore_patterns(*_LEFT_OUT))
        for name, content in files.items():
            (target / name).write_bytes(content)
        yield target


def _mirror(folder: Path, target: Path, files: Mapping[Path, bytes]) -> None:
    """Make `target` what `folder` is, by links, but for some files with another content."""
    target.mkdir()
    left_out = shutil.ignore_patterns(*_LEFT_OUT)
    names = [entry.name for entry in folder.iterdir()]
    for name in sorted({*names} - left_out(str(folder), names)):
        inside = {Path(*file.parts[1:]): content for file, content in files.items() if file.parts[0] == name}
        if not inside:
            (target / name).symlink_to((folder / name).resolve())
        elif Path() in inside:
            (target / name).write_bytes(inside[Path()])
        else:
            _mirror(folder / name, target / name, inside)


def _copy_or_link(source: str, target: str) -> None:
    file = Path(source).resolve()
    if file.stat().st_size > _LINKED:
        Path(target).symlink_to(file)
    else:
        shutil.copyfile(file, target)


def _falls_short(case: Case, new: Case) -> Failure | None:
    """Why a run under a proposal does less than the run without it; None if it got as far, and nothing is lost."""
    stop = new.flow.graph.stop
    if stop is not None and not new.flow.graph.reaches_as_far_as(case.flow.graph):
        return Failure("stops the run early", f"{stop.reason} at {stop.place}")
    if write := lost(case.reach, new.reach):
        return Failure("loses a write", write)
    halved = next(iter(_made_real(case.flow, new.flow)), "") or next(
        iter(_cast_to_real(new.flow) - _cast_to_real(case.flow)), ""
    )
    return Failure("loses an imaginary part", halved) if halved else None


def _made_real(old: Flow, new: Flow) -> list[str]:
    """The stored tensors that were complex, and are real now."""
    before, after = _stored(old), _stored(new)
    was = [name for name, dtype in before.items() if kind(dtype) == "complex"]
    return [name for name in was if name in after and kind(after[name]) != "complex"]


def _stored(flow: Flow) -> dict[str, str]:
    held = {f"{one.kind} {one.name}": one.spec.dtype for one in flow.inventory.tensors}
    return held | {f"{node.op} {node.name}": node.dtype for node in flow.graph.stored() if node.op == "input"}


def _cast_to_real(flow: Flow) -> Counter[str]:
    """Where a run casts complex numbers to real ones."""
    casts = (node for node in flow.graph.ops() if node.op == CAST and kind(flow.reads(node.id)[0]) == "complex")
    return Counter(f"the cast at {node.place}" for node in casts if kind(node.dtype) != "complex")


def warned(findings: Sequence[Finding]) -> set[tuple[str, str, int, str]]:
    """The warnings among findings, by what stays the same when a cast is written beside them."""
    return {(f.code, f.file, f.line, f.module) for f in findings if f.severity == "warning"}


def other_outputs(old: Flow, new: Flow) -> str:
    """Which results of a run have another dtype than before, in words."""
    pairs = (
        (old.dtype(ref), new.dtype(other)) for ref, other in zip(old.graph.outputs, new.graph.outputs, strict=False)
    )
    return _casts([("output", before, after) for before, after in pairs if before != after])


def _promotions(case: Case) -> set[tuple[str, str, int, str]]:
    return {one for one in warned(case.findings) if one[0].startswith("DT2")}


def _held(pair: tuple[Case, Case]) -> tuple[Inventory, Inventory]:
    return pair[0].flow.inventory, pair[1].flow.inventory


def _changed(old: Inventory, new: Inventory) -> list[tuple[str, str, str]]:
    before = {held.name: held.spec.dtype for held in old.tensors}
    return [
        (held.kind, before[held.name], held.spec.dtype)
        for held in new.tensors
        if held.name in before and held.spec.dtype != before[held.name]
    ]


def _casts(changed: Sequence[tuple[str, str, str]]) -> str:
    counts = Counter(changed)
    parts = sorted(counts.items(), key=lambda item: (item[1], item[0]))
    return ", ".join(f"{n} {kind}{'s' * (n > 1)} {short(old)}->{short(new)}" for (kind, old, new), n in parts)


def _size(flow: Flow) -> int:
    """The bytes of what a model holds, and of the copies of it that its casts make."""
    return sum(held.spec.bytes for held in flow.inventory.tensors) + copies(flow)
