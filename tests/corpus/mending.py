"""Applies what `analyze fix` proposes for a case to the real small model, runs it, and says what came of it."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import cache
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import torch
from torch import nn
from transformers import AutoModel

import tests.corpus
from analyzer import oracle
from analyzer.actions.fix import run_fix
from analyzer.ir import walk
from analyzer.ir.dtypes import parse_autocast
from analyzer.ir.fixes.proposals import Proposal, Trial
from analyzer.ir.plan import Plan, names
from analyzer.ir.steps import parse_steps
from analyzer.loaders.request import ModelRequest
from analyzer.running.output_tensors import leaves
from analyzer.running.session import Session
from analyzer.running.training_step import loss_of
from tests.conftest import forget_remote_code
from tests.corpus.case import RAISES, STOPS, Case
from tests.corpus.float64 import InFloat64, widened
from tests.corpus.running import IDS, NAMES, case
from tests.corpus.variants import VARIANTS
from tests.versions import asked

ROOT: Final = Path(tests.corpus.__file__).parent
RAISING: Final = [name for name in NAMES if case(name).kind in (RAISES, STOPS)]
"""The cases in which a run ends in an error."""
NEAR: Final = 0.04
"""How far a value may be from that of a float64 run, beside the largest value: some units of the last place of bf16."""
_BUILD: Final = "import {name} as made\n\ndef build():\n    return made.CASE.build({mended})\n"
_MODEL: Final = "model.py"


@dataclass(frozen=True)
class Ran:
    """A real run: the words of its error, or what it gave and what it left in inputs, buffers and gradients."""

    words: str = ""
    values: tuple[torch.Tensor, ...] = ()


@dataclass(frozen=True)
class Outcome:
    """A trial, and what the real model does under its proposal."""

    trial: Trial
    words: str
    """Of the error that the run ended in; "" if it came to its end."""
    distance: float = 0.0
    """How far its values are from those of a float64 run of the same code."""

    @property
    def mends(self) -> bool:
        """Whether the error is gone and the values are right."""
        return not self.words and self.distance <= NEAR


@dataclass(frozen=True)
class Target:
    """A case on disk, as a person would have it."""

    path: Path
    plan: Plan
    case: Case
    name: str

    def under(self, proposal: Proposal, copy: Path) -> Target:
        """A copy of it with the proposal's edits."""
        folder = self.path if self.path.is_dir() else self.path.parent
        shutil.copytree(folder, copy, ignore=shutil.ignore_patterns("__pycache__"))
        for edit in proposal.edits:
            (copy / edit.file).write_text(edit.after)
        at = copy if self.path.is_dir() else copy / self.path.name
        return Target(at, proposal.plan(self.plan), self.case, self.name)


@cache
def outcomes(name: str) -> tuple[Outcome, ...]:
    """Every proposal for a case that is said to clear all, best first, and what it really does."""
    with TemporaryDirectory() as made:
        target = written(name, Path(made).resolve() / "original")
        steps = parse_steps(target.case.steps)
        request = ModelRequest(target.path, trust_remote_code=True, steps=steps)
        _, trials, _ = run_fix(request, [target.plan])
        exact = _exact(name, target, Path(made).resolve())
        found = []
        for number, trial in enumerate(one for one in trials if one.clears):
            mended = run(target.under(trial.proposal, Path(made).resolve() / f"mended{number}"))
            found.append(Outcome(trial, mended.words, max(_distance(mended, one) for one in exact)))
        return tuple(found)


def _exact(name: str, target: Target, folder: Path) -> list[Ran]:
    """What the values are to be: those of the faulty code in float64, and of the mended code.

    Where the code itself asks for other dtypes, they are those of a real run of the mended one.
    """
    targets = [target] if name in VARIANTS else [target, written(name, folder / "right", mended=True)]
    ran = [one for target in targets if not (one := run(target, exact=True)).words]
    found = ran or [one for target in targets if not (one := run(target, exact=True, whole=True)).words]
    return found or [run(targets[-1])]


def written(name: str, folder: Path, *, mended: bool = False) -> Target:
    """A case, or one of the variants, as a model folder or a file with `build()`."""
    if name in VARIANTS:
        folder.mkdir()
        (folder / _MODEL).write_text(VARIANTS[name].code)
        one = Case(report="", kind=RAISES, plan=VARIANTS[name].plan, steps=VARIANTS[name].steps)
        return Target(folder / _MODEL, one.plan, one, name)
    one = case(name)
    if one.folder:
        one.folder(folder, mended)
        return Target(folder, one.plan_of(mended), one, name)
    folder.mkdir()
    shutil.copy(ROOT / f"{name}.py", folder)
    (folder / _MODEL).write_text(_BUILD.format(name=name, mended=mended))
    return Target(folder / _MODEL, one.plan_of(mended), one, name)


def run(target: Target, *, exact: bool = False, whole: bool = False) -> Ran:
    """Run a target for real on the CPU; with `exact`, every number in it is float64 and no kernel sees another."""
    torch.manual_seed(0)
    plan = target.plan
    with _loaded(target) as (module, inputs, one):
        if not exact:
            _apply(module, plan)
            inputs = _given(inputs, plan)
        module.train(plan.train)
        if exact:
            module, inputs = widened(module, inputs, whole=whole)
        call = _calls(one, module)
        inside = InFloat64() if exact else nullcontext()
        try:
            with torch.set_grad_enabled(plan.train), _autocast("" if exact else plan.autocast), inside:
                if one.really and not exact:
                    result = one.really(module, inputs, target.path.parent / "run")
                else:
                    result = call(module, inputs)
                loss = loss_of(result) if plan.train and not (one.really and not exact) else None
                if loss is not None:
                    loss.backward()  # type: ignore[no-untyped-call]
        except (RuntimeError, ValueError, TypeError, IndexError) as error:
            return Ran(oracle.words(error))
        return Ran("", tuple(leaves(result) if one.really else _left(module, inputs, result)))


def _calls(one: Case, module: nn.Module) -> Any:
    steps = parse_steps(one.steps)
    session = Session(steps, None, lambda _: None, lambda *_: None)
    return lambda module, inputs: session(module, {s.label: inputs for s in steps}) if steps else module(**inputs)


def _left(module: nn.Module, inputs: Any, result: Any) -> Iterator[torch.Tensor]:
    """What a run gave, and what it left where a later one reads it."""
    yield from leaves(result)
    yield from leaves(inputs)
    for _, part in module.named_modules():
        yield from (one for key, one in sorted(vars(part).items()) if isinstance(one, torch.Tensor))
        yield from (one for one in part._buffers.values() if one is not None)
    yield from (one.grad for one in module.parameters() if one.grad is not None)


@contextmanager
def _loaded(target: Target) -> Iterator[tuple[nn.Module, Any, Case]]:
    """The real module with weights and its inputs, and the case as its file has it now."""
    forget_remote_code()
    if target.path.is_dir():
        dtype = getattr(torch, target.plan.dtype or "float32")
        module = AutoModel.from_pretrained(target.path, **asked(dtype), trust_remote_code=True)
        yield module, {"input_ids": IDS.clone()}, target.case
        return
    sys.path.insert(0, str(target.path.parent))
    try:
        spec = spec_from_file_location("_mended_", target.path)
        assert spec and spec.loader
        file = module_from_spec(spec)
        spec.loader.exec_module(file)
        module, inputs = file.build()
        yield module, inputs, sys.modules[target.name].CASE if target.name in sys.modules else target.case
    finally:
        sys.path.remove(str(target.path.parent))
        sys.modules.pop(target.name, None)


def _apply(module: nn.Module, plan: Plan) -> None:
    if plan.to:
        module.to(getattr(torch, plan.to))
    for pattern, dtype in plan.set.items():
        for name, tensor in (*module.named_parameters(), *module.named_buffers()):
            if names(pattern, name) and (tensor.is_floating_point() or tensor.is_complex()):
                tensor.data = tensor.data.to(getattr(torch, dtype))
    if plan.autocast and plan.scope == "forward":  # as Accelerate's prepare_model does it
        from accelerate.utils.operations import convert_outputs_to_fp32

        inside = torch.autocast("cpu", getattr(torch, parse_autocast(plan.autocast)[1]))
        module.forward = convert_outputs_to_fp32(inside(module.forward))


def _given(inputs: Any, plan: Plan) -> Any:
    def cast(tensor: torch.Tensor, path: walk.Path) -> torch.Tensor:
        dtype = plan.input_dtypes.get(".".join(map(str, path)))
        return tensor.to(getattr(torch, dtype)) if dtype else tensor

    return walk.changed_with_path(inputs, torch.Tensor, cast)


@contextmanager
def _autocast(name: str | None) -> Iterator[None]:
    if name:
        with torch.autocast("cpu", getattr(torch, parse_autocast(name)[1])):
            yield
    else:
        yield


def _distance(ran: Ran, exact: Ran) -> float:
    """The largest difference beside the largest value; infinite where one has other tensors, or no number."""
    if ran.words or exact.words:
        return float("inf")
    if [one.shape for one in ran.values] != [one.shape for one in exact.values]:
        return float("inf")
    far = 0.0
    for mine, its in zip(ran.values, exact.values, strict=True):
        mine, its = (one.detach().to(torch.complex128 if one.is_complex() else torch.float64) for one in (mine, its))
        size = max(its.abs().nan_to_num().max().item() if its.numel() else 0.0, 1e-3)
        apart = (mine - its).abs()
        far = max(far, (apart.nan_to_num(nan=float("inf")).max().item() / size) if apart.numel() else 0.0)
    return far
