"""Tries a cast in a case's own lines, as `analyze fix` proposes it: traced again, and run for real."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import torch

import tests.corpus
from analyzer.capture import Loaded
from analyzer.fixes.source_casts import sources
from analyzer.ir.flow import Flow
from analyzer.ir.proposals import Edit
from analyzer.ir.steps import parse_steps
from analyzer.propagate import propagate
from analyzer.rules import check
from analyzer.running.forward import capture, from_callable
from analyzer.running.training_step import loss_of
from tests.capture.real import bare
from tests.corpus.case import RAISES, Case
from tests.corpus.running import NAMES, autocast, built, calls, case

ROOT = Path(tests.corpus.__file__).parent
LINES = [n for n in NAMES if case(n).kind == RAISES and not (case(n).folder or case(n).really or case(n).recorded)]
"""Cases whose own lines a cast may be written into."""


def proved(name: str) -> list[str]:
    """The lines with a cast that clear the fault of a case; each was traced, and run for real where the CPU can."""
    found = []
    for edit in _edits(case(name)):
        module = ModuleType(f"tests.corpus.{name}")
        exec(compile(edit.after, str(ROOT / edit.file), "exec"), module.__dict__)
        one: Case = module.CASE
        if not _errors(_flow(one)):
            _run(one)
            found += [new.split("  #")[0].strip() for old, new in _pairs(edit) if old != new]
    return found


def _edits(one: Case) -> Iterator[Edit]:
    flow = _flow(one)
    errors = [finding for finding in check(flow) if finding.severity == "error"]
    for proposal in sources(flow, errors, ROOT):
        yield from proposal.edits


def _flow(one: Case) -> Flow:
    module, inputs = built(one, False)
    loaded: Loaded = replace(from_callable(bare(module), (), inputs, parse_steps(one.steps)), root=str(ROOT))
    return propagate(capture(loaded, one.plan).graph, one.plan, inventory=loaded.inventory)


def _errors(flow: Flow) -> bool:
    return any(finding.severity == "error" for finding in check(flow))


def _run(one: Case) -> None:
    """Raises what the real run of the case raises."""
    module, inputs = built(one, False)
    with torch.set_grad_enabled(one.plan.train), autocast(one.plan.autocast):
        result = calls(one)(module, copy.deepcopy(inputs))
    loss = loss_of(result) if one.plan.train else None
    if loss is not None:
        loss.backward()  # type: ignore[no-untyped-call]


def _pairs(edit: Edit) -> Iterator[tuple[str, str]]:
    return zip(edit.before.splitlines(), edit.after.splitlines(), strict=True)
