"""Runs a case for real on the CPU, or traces it."""

from __future__ import annotations

import copy
import inspect
import pkgutil
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel

import tests.corpus
from analyzer import oracle
from analyzer.api import trace
from analyzer.capture.source_lines import SourceLines
from analyzer.capture.tensor import dtype_name
from analyzer.errors import AnalyzerError
from analyzer.ir.dtypes import parse_autocast
from analyzer.ir.findings import Finding, Origin
from analyzer.ir.steps import parse_steps
from analyzer.report import Report
from analyzer.running.output_tensors import leaves
from analyzer.running.process_state import left_as_found
from analyzer.running.session import Run, Session
from analyzer.running.training_step import loss_of
from tests.capture.real import bare, raised_at
from tests.conftest import forget_remote_code
from tests.corpus.case import Case
from tests.versions import asked

STRICT = hasattr(PreTrainedModel, "_keep_in_fp32_modules_strict")
"""The list came with transformers 4.51."""
NAMES = [
    i.name
    for i in pkgutil.iter_modules(tests.corpus.__path__)
    if i.name[1:3].isdigit()
    and (STRICT or i.name != "a05_kept_query_tokens")
    and (find_spec("peft") or i.name not in ("f55_wide_embedding", "h115_flat_adapter"))
]
IDS = torch.tensor([[1, 2, 3, 4]])


@dataclass(frozen=True)
class Ran:
    """What a real run did: its results, or the words and the place of its error."""

    results: tuple[torch.Tensor, ...] = ()
    words: str = ""
    place: str = ""

    @property
    def dtypes(self) -> tuple[str, ...]:
        """The dtypes of the results."""
        return tuple(dtype_name(t.dtype) for t in self.results)


@cache
def case(name: str) -> Case:
    """The case in the file of that name."""
    found: Case = import_module(f"tests.corpus.{name}").CASE
    return found


def mechanism(name: str) -> str:
    """What the case's file says of itself, in one line."""
    return " ".join((import_module(f"tests.corpus.{name}").__doc__ or "").split())


@left_as_found()
def real(name: str, mended: bool, folder: Path) -> Ran:
    """Build and run a case on the CPU, up to its first error."""
    torch.manual_seed(0)
    one = case(name)
    plan = one.plan_of(mended)
    module, inputs = _loaded(one, mended, folder) if one.folder else built(one, mended)
    places = SourceLines(module, "")
    try:
        with torch.set_grad_enabled(plan.train), autocast(plan.autocast):
            given = copy.deepcopy(inputs)
            result = one.really(module, given, folder) if one.really else calls(one)(module, given)
        loss = loss_of(result) if plan.train and not one.really else None
        if loss is not None:
            loss.backward()  # type: ignore[no-untyped-call]
    except (RuntimeError, ValueError) as error:
        if one.really:
            return Ran((), str(error))
        file, line = raised_at(error)
        shown = Path(file).name if one.folder else places.show(file)  # transformers runs a copy of remote code
        return Ran((), oracle.words(error), f"{shown}:{line}")
    return Ran(tuple(t.detach() for t in leaves(result)))


def report(name: str, mended: bool, folder: Path) -> Report:
    """The trace of a case without its weights."""
    one = case(name)
    if one.folder:
        write(one, mended, folder)
        return trace(folder, plan=one.plan_of(mended), trust_remote_code=True)
    module, inputs = built(one, mended)
    return trace(bare(module), kwargs=inputs, plan=one.plan_of(mended), steps=one.steps)


def stop(name: str, folder: Path) -> str:
    """What a trace says of the error that stopped it; "" if none did."""
    try:
        return report(name, False, folder).coverage.incomplete
    except AnalyzerError as error:
        return str(error)


def named(name: str, origin: Origin) -> str:
    """An origin as cases write it."""
    if origin.kind in ("parameter", "buffer", "input"):
        return f"{origin.kind} {origin.name.removeprefix('kwargs.')}"
    lines = inspect.getsource(import_module(f"tests.corpus.{name}")).splitlines()
    here = {number for number, line in enumerate(lines, 1) if line.endswith("# here")}
    return f"{origin.kind} here" if origin.line in here else f"{origin.kind} {origin.file}:{origin.line}"


def blamed(name: str, finding: Finding) -> list[str]:
    """The nearest origin of every operand of a finding, the tensors that it is about, and the call itself."""
    call = named(name, Origin("call", finding.op, "", finding.file, finding.line))
    operands = [named(name, operand.origins[0]) for operand in finding.operands if operand.origins]
    return [*operands, *(f"parameter {tensor}" for tensor in finding.tensors), call]


def write(one: Case, mended: bool, folder: Path) -> None:
    """Write the folder of a case, once."""
    if one.folder and not (folder / "config.json").exists():
        one.folder(folder, mended)


def built(one: Case, mended: bool) -> tuple[nn.Module, dict[str, Any]]:
    """The module of a case and its inputs, ready to train if its plan does."""
    assert one.build
    module, inputs = one.build(mended)
    return (module.train() if one.plan.train else module.eval()), inputs


def _loaded(one: Case, mended: bool, folder: Path) -> tuple[nn.Module, dict[str, Any]]:
    from transformers import AutoModel

    write(one, mended, folder)
    forget_remote_code()  # of another case in a folder of that name
    dtype = getattr(torch, one.plan_of(mended).dtype or "float32")
    module = AutoModel.from_pretrained(folder, **asked(dtype), trust_remote_code=True).eval()
    to = one.plan_of(mended).to
    return module.to(getattr(torch, to)) if to else module, {"input_ids": IDS}


def calls(one: Case) -> Run:
    """The calls of a case, made for real."""
    steps = parse_steps(one.steps)
    session = Session(steps, None, lambda _: None, lambda *_: None)
    return lambda module, inputs: session(module, {s.label: inputs for s in steps}) if steps else module(**inputs)


def autocast(name: str | None) -> Any:
    """The region of a plan's autocast, if it has one: one that is off would keep casts for those inside it."""
    if name is None:
        return nullcontext()
    device, dtype = parse_autocast(name)
    return torch.autocast(device, getattr(torch, dtype))
