"""Runs one stage of a model for real as it is and under a change, and compares both with a run in float64."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from math import isfinite
from pathlib import Path
from typing import Final

import torch

from analyzer.capture import Loaded
from analyzer.errors import AnalyzerError, first_line
from analyzer.fixes.real.comparison import digits_of, distances, missing, not_finite, tolerance
from analyzer.fixes.real.float64 import computing_in_float64, in_float64
from analyzer.fixes.real.sources import Source
from analyzer.fixes.real.values import like
from analyzer.ir.dtypes import is_float
from analyzer.ir.findings import Finding
from analyzer.ir.fixes.proof import MENDS, RealRun
from analyzer.ir.flow import Flow
from analyzer.ir.graph import Place
from analyzer.ir.plan import Plan
from analyzer.oracle.operator_dtypes import is_missing, is_of_dtype
from analyzer.running.real_runs.real_run import NO_REPAIRS, Ran, run_really

_COARSER: Final = 2
"""How many digits less than the narrowest dtype the runs have that say how far apart rounding alone takes two runs."""
_ROUNDED: Final = 3
"""How many such runs are made: where rounding turns a choice over, it does so in one of them."""
_TIMES: Final = 2
"""How many times further apart than the furthest of them a run may be: one choice weighs more than another."""
_GRADIENT: Final = 0.9
"""How far apart gradients may be: rounding adds up in them, and one that is lost is 1 apart."""
_NUMBERS: Final = re.compile(r"\d+")


@dataclass(frozen=True, slots=True)
class Model:
    """A model with real tensors, and the plan that it is run under."""

    loaded: Loaded
    plan: Plan
    own_inputs: bool = False
    """Whether it is run on other inputs than the model before, so that it is compared with itself in float64."""


Error = tuple[Place, str]
"""The line of an error, and its words."""
Change = Callable[[Model], Model]
"""Makes the changed model out of the one before, which it leaves as it is. Raises AnalyzerError."""

_HIDDEN: Final = RealRun("not run", "another error ends the real run before this one")


@dataclass(slots=True)
class Bench:
    """What is known of one stage: its trace, and once it was asked for, its real run before any change."""

    flow: Flow
    plan: Plan
    source: Source
    _before: tuple[Model, tuple[Error, ...]] | RealRun | None = field(default=None, init=False)
    _truth: dict[str, torch.Tensor] | None = field(default=None, init=False)
    _apart: dict[tuple[int, int], dict[str, float]] = field(default_factory=dict, init=False)
    """Digits and seed -> how far such a run of the model as it is lies from the one in float64."""

    def judge(self, change: Change, *, clears: bool, finding: Finding | None = None) -> RealRun | None:
        """What a change does that left fewer errors in the trace, or with `clears` none at all.

        It has to clear the finding, where one is given. None where it clears no error of the real run.
        """
        before = self._faulty()
        if isinstance(before, RealRun):
            return before
        model, errors = before
        if finding is not None and not (errors := tuple(error for error in errors if _shows(error, finding))):
            return _HIDDEN
        try:
            after = change(model)
            ran = self._really(after, NO_REPAIRS if clears else self._repairs())
            if _leaves_all(errors, ran.errors):
                return None if clears or self._reaches_all(before[1]) else _HIDDEN
            wrong = self._fails(ran, clears=clears)
            if wrong:
                self._float64()  # what cannot be run in any dtype is no fault of the change
            wrong = wrong or ("" if ran.failed else self._is_off(ran, after))
        except AnalyzerError as error:
            return RealRun("not run", error.message)
        return RealRun("fails", f"the real run {wrong}") if wrong else MENDS

    def _reaches_all(self, errors: Sequence[Error]) -> bool:
        """Whether the real run came to every call that the trace refuses: some have no repair that lets it go on."""
        return {self.flow.graph[name].place for name in self.flow.refusals} <= {place for place, _ in errors}

    def with_settings(self, plan: Plan, path: Path | None, inputs: Path | None) -> Change:
        """The model loaded again under another plan, from a patched copy, with another inputs file."""

        def changed(before: Model) -> Model:
            after = self.source.real(plan, path, inputs)
            after = like(after, before.loaded if inputs is None else replace(before.loaded, inputs=after.inputs), plan)
            return Model(after, plan, own_inputs=inputs is not None)

        return changed

    def _faulty(self) -> tuple[Model, tuple[Error, ...]] | RealRun:
        """The model as it is, and the errors of its real run; or why there are none."""
        if self._before is None:
            self._before = self._first()
        return self._before

    def _first(self) -> tuple[Model, tuple[Error, ...]] | RealRun:
        if why := self._never():
            return RealRun("not run", why)
        try:
            model = Model(self.source.real(self.plan), self.plan)
            ran = self._really(model, NO_REPAIRS)
            if not ran.failed:
                return RealRun("not run", "the error does not appear on this CPU")
            if not self._is_known(*ran.errors[0]):
                return RealRun("not run", f"the real run ends in another error: {_short(ran.words)}")
            repairs = self._repairs()
            whole = self._really(model, repairs) if len(repairs) > 1 else ran
        except AnalyzerError as error:
            return RealRun("not run", error.message)
        return model, tuple(error for error in dict.fromkeys((*ran.errors, *whole.errors)) if self._is_known(*error))

    def _really(self, model: Model, repairs: Mapping[Place, str]) -> Ran:
        """A real run; what only this CPU has no kernel for, and the plan's device has, computes in float32."""
        with _quiet():
            ran = run_really(model.loaded, model.plan, repairs=repairs)
            gap = ran.failed and self.plan.device != "cpu" and is_missing(ran.words)
            if gap and not self._is_known(ran.place, ran.words):
                return run_really(model.loaded, model.plan, repairs=repairs, lends=True)
        return ran

    def _never(self) -> str:
        """Why no real run can show the errors of the trace; "" if one may."""
        training, stop = self.plan.training, self.flow.graph.stop
        if training is not None and training.deepspeed is not None:
            return "it needs DeepSpeed"
        if training is not None and training.fsdp is not None:
            return "it needs FSDP"
        if not self.flow.refusals:
            return "no kernel refuses anything"
        return f"the trace stops for another reason: {stop.reason}" if stop is not None else ""

    def _repairs(self) -> dict[Place, str]:
        """The lines where the trace has repaired a call, and the dtype that it took there."""
        found = {self.flow.graph[name].place: self.flow.graph[name].repair for name in self.flow.refusals}
        return {place: dtype for place, dtype in found.items() if place.file and is_float(dtype)}

    def _fails(self, ran: Ran, *, clears: bool) -> str:
        """What is wrong with the errors of a run; "" where they are those that the trace has left.

        Raises AnalyzerError where it may be this CPU alone that refuses a call.
        """
        for place, words in ran.errors:
            if clears or not self._is_known(place, words):
                if self.plan.device != "cpu" and is_of_dtype(words):
                    raise AnalyzerError(f"this CPU refuses it: {_short(words)}")
                return f"raises {ran.kind or 'RuntimeError'}: {_short(words)}{f' at {place}' if place.file else ''}"
        return ""

    def _is_known(self, place: Place, words: str) -> bool:
        """Whether the trace has an error: at the same line, in the same words where these are the CPU's."""
        for name, told in self.flow.refusals.items():
            node, witness = self.flow.graph[name], self.flow.witnesses.get(name)
            here = node.place == place or bool(node.phase)
            elsewhere = witness is not None and witness.knows_device
            if here and (elsewhere or _alike(words, told)):
                return True
        return False

    def _is_off(self, ran: Ran, after: Model) -> str:
        """What is wrong with the tensors of a run that came to its end; "" if they are near the run in float64."""
        truth = _in_float64(after) if after.own_inputs else self._float64()
        if wrong := missing(ran.tensors, truth) or not_finite(ran.tensors, truth):
            return wrong
        digits = digits_of(self._dtypes(ran, after))
        bound, apart = tolerance(digits), distances(ran.tensors, truth)
        off = {name: far for name, far in apart.items() if far > (_GRADIENT if _is_gradient(name) else bound)}
        if not off:
            return ""
        if any(far > bound for far in self._far(after, truth, 0, 1).values()):
            raise AnalyzerError("its results are drawn at random")
        for seed in range(_ROUNDED):
            rounded = self._far(after, truth, max(digits - _COARSER, 2), seed)
            off = {name: far for name, far in off.items() if far > _TIMES * rounded.get(name, 0.0)}
        name = max(off, key=lambda one: off[one], default="")
        if not name:
            return ""
        far = f"off by {off[name]:.0%} of float64's" if isfinite(off[name]) else "that is all zeros in float64"
        return f"gives {name} {far}"

    def _far(self, after: Model, truth: Mapping[str, torch.Tensor], digits: int, seed: int) -> dict[str, float]:
        """How far a run in float64 lies from `truth`, rounded to so many digits; of the model as it is asked once."""
        if after.own_inputs:
            return distances(_in_float64(after, digits, seed), truth)
        if (digits, seed) not in self._apart:
            self._apart[digits, seed] = distances(_in_float64(self._model(), digits, seed), truth)
        return self._apart[digits, seed]

    def _dtypes(self, ran: Ran, after: Model) -> set[str]:
        """The dtypes that a run may have computed in."""
        held = [*after.loaded.module.parameters(), *after.loaded.module.buffers(), *ran.tensors.values()]
        traced = {dtype for dtypes in self.flow.dtypes.values() for dtype in dtypes}
        return {str(tensor.dtype).removeprefix("torch.") for tensor in held} | traced

    def _float64(self) -> Mapping[str, torch.Tensor]:
        if self._truth is None:
            self._truth = _in_float64(self._model())
        return self._truth

    def _model(self) -> Model:
        """The model as it is, which whoever judges a change has had."""
        before = self._faulty()
        assert not isinstance(before, RealRun)
        return before[0]


def _in_float64(model: Model, digits: int = 0, seed: int = 0) -> dict[str, torch.Tensor]:
    """What a model gives in float64, with results rounded to so many digits. Raises AnalyzerError where it cannot.

    What is refused for an integer is run again with int64, as no float mends it.
    """
    drawn = 0 if digits else seed
    for integers in (False, True):
        within = partial(computing_in_float64, digits, seed, integers=integers)
        changed = partial(in_float64, integers=integers)
        with _quiet():
            ran = run_really(model.loaded, model.plan, within=within, seed=drawn, changed=changed)
        if not ran.failed:
            break
    if ran.failed:
        raise AnalyzerError(f"it cannot be run in float64: {_short(ran.words)}")
    return dict(ran.tensors)


def _shows(error: Error, finding: Finding) -> bool:
    """Whether an error of a real run is what a finding tells."""
    place, words = error
    here = (finding.file, finding.line) == (place.file, place.line) or bool(finding.phase)
    return here and (finding.asked.knows_device or _alike(words, finding.message))


def _leaves_all(errors: Sequence[Error], left: Sequence[Error]) -> bool:
    """Whether a run still has every one of some errors."""
    return bool(left) and all(any(_same(error, other) for other in left) for error in errors)


def _same(one: Error, other: Error) -> bool:
    """Whether two runs have an error at one line; in a patched copy the lines are the same."""
    return one[0] == other[0] and _alike(one[1], other[1])


def recast(model: Model, loaded: Loaded) -> Model:
    """The model with what was loaded in its place, under the same plan."""
    return replace(model, loaded=loaded)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep what libraries warn of to themselves."""
    import logging
    import warnings

    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def _is_gradient(name: str) -> bool:
    return name.startswith("gradient ")


def _alike(words: str, others: str) -> bool:
    """Whether two errors say the same of shapes of different sizes."""
    return _NUMBERS.sub("#", words) == _NUMBERS.sub("#", others)


def _short(words: str) -> str:
    return first_line(words).strip()[:160]
