"""Runs one stage of a model for real as it is and under a change, and compares both with a run in float64."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from math import isfinite
from pathlib import Path
from typing import Final

import torch

from analyzer.capture import Loaded
from analyzer.errors import AnalyzerError
from analyzer.fixes.real.comparison import digits_of, distances, missing, not_finite, tolerance
from analyzer.fixes.real.float64 import computing_in_float64, in_float64
from analyzer.fixes.real.sources import Source
from analyzer.fixes.real.values import like
from analyzer.ir.findings import Finding
from analyzer.ir.flow import Flow
from analyzer.ir.plan import Plan
from analyzer.ir.proof import MENDS, RealRun
from analyzer.running.real_run import Ran, copied, run_really

_TIMES: Final = 4
"""How much further apart than a run with rounded results a good one may be."""
_NUMBERS: Final = re.compile(r"\d+")


@dataclass(frozen=True, slots=True)
class Model:
    """A model with real tensors, and the plan that it is run under."""

    loaded: Loaded
    plan: Plan


Change = Callable[[Model], Model]
"""Makes the changed model out of the one before, which it leaves as it is. Raises AnalyzerError."""


@dataclass(slots=True)
class Bench:
    """What is known of one stage: its trace, and once it was asked for, its real run before any change."""

    flow: Flow
    plan: Plan
    source: Source
    _before: tuple[Model, Ran] | RealRun | None = field(default=None, init=False)
    _truth: dict[str, torch.Tensor] | None = field(default=None, init=False)

    def judge(self, change: Change, *, clears: bool) -> RealRun:
        """What a change does that cleared an error in the trace, or with `clears` all of them."""
        return self._judged(change, clears=clears, goes_on=False)

    def judge_and_go_on(self, change: Change) -> RealRun:
        """The same; where it mends, the changed model is what the next change is made to."""
        return self._judged(change, clears=False, goes_on=True)

    def with_settings(self, plan: Plan, path: Path | None, inputs: Path | None) -> Change:
        """The model loaded again under another plan, from a patched copy, with another inputs file."""

        def changed(before: Model) -> Model:
            after = self.source.real(plan, path, inputs)
            return Model(after if inputs else like(after, before.loaded, plan.input_dtypes), plan)

        return changed

    def _judged(self, change: Change, *, clears: bool, goes_on: bool) -> RealRun:
        before = self._faulty()
        if isinstance(before, RealRun):
            return before
        model, failed = before
        try:
            after = change(model)
            with _quiet():
                ran = run_really(after.loaded, after.plan)
            wrong = self._fails(ran, failed, clears=clears) if ran.failed else self._is_off(ran, after)
        except AnalyzerError as error:
            return RealRun("not run", error.message)
        if wrong:
            return RealRun("fails", f"the real run {wrong}")
        if goes_on:
            self._before = (after, ran) if ran.failed else RealRun("not run", "no error is left in the real run")
        return MENDS

    def shows(self, finding: Finding) -> bool:
        """Whether the real run before a change ends in this error."""
        before = self._faulty()
        if isinstance(before, RealRun):
            return False
        ran = before[1]
        here = (finding.file, finding.line) == (ran.place.file, ran.place.line) or bool(finding.phase)
        return here and (finding.asked.knows_device or _alike(ran.words, finding.message))

    @property
    def unrunnable(self) -> str:
        """Why there is no real run before a change; "" if there is one."""
        before = self._faulty()
        return before.why if isinstance(before, RealRun) else ""

    def _faulty(self) -> tuple[Model, Ran] | RealRun:
        """The model as it is, and the error that its real run ends in; or why there is none."""
        if self._before is None:
            self._before = self._first()
        return self._before

    def _first(self) -> tuple[Model, Ran] | RealRun:
        if why := self._never():
            return RealRun("not run", why)
        try:
            model = Model(self.source.real(self.plan), self.plan)
            with _quiet():
                ran = run_really(model.loaded, model.plan)
        except AnalyzerError as error:
            return RealRun("not run", error.message)
        if not ran.failed:
            return RealRun("not run", "the error does not appear on this CPU")
        if not self._is_known(ran):
            return RealRun("not run", f"the real run ends in another error: {_short(ran.words)}")
        return model, ran

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

    def _fails(self, ran: Ran, before: Ran, *, clears: bool) -> str:
        """What is wrong with a run that ends in an error; "" where that is another one of those that the trace has."""
        same = _alike(ran.words, before.words) and ran.place == before.place
        if not clears and not same and self._is_known(ran):
            return ""
        where = f" at {ran.place}" if ran.place.file else ""
        return f"raises {ran.kind}: {_short(ran.words)}{where}"

    def _is_known(self, ran: Ran) -> bool:
        """Whether the trace has the error of a run: at the same line, in the same words where these are the CPU's."""
        for name, words in self.flow.refusals.items():
            node, witness = self.flow.graph[name], self.flow.witnesses.get(name)
            here = node.place == ran.place or bool(node.phase)
            elsewhere = witness is not None and witness.knows_device
            if here and (elsewhere or _alike(ran.words, words)):
                return True
        return False

    def _is_off(self, ran: Ran, after: Model) -> str:
        """What is wrong with the tensors of a run that came to its end; "" if they are near the run in float64."""
        truth = self._float64()
        if wrong := missing(ran.tensors, truth) or not_finite(ran.tensors, truth):
            return wrong
        digits = digits_of(self._dtypes(ran, after))
        bound, apart = tolerance(digits), distances(ran.tensors, truth)
        off = {name: far for name, far in apart.items() if far > bound}
        if not off:
            return ""
        again, rounded = distances(self._in_float64(seed=1), truth), distances(self._in_float64(digits), truth)
        if any(far > bound for far in again.values()):
            raise AnalyzerError("its results are drawn at random")
        worst = {name: far for name, far in off.items() if far > _TIMES * rounded.get(name, 0.0)}
        name = max(worst, key=lambda one: worst[one], default="")
        if not name:
            return ""
        far = f"off by {worst[name]:.0%} of float64's" if isfinite(worst[name]) else "that is all zeros in float64"
        return f"gives {name} {far}"

    def _dtypes(self, ran: Ran, after: Model) -> set[str]:
        """The dtypes that a run may have computed in."""
        held = [*after.loaded.module.parameters(), *after.loaded.module.buffers(), *ran.tensors.values()]
        traced = {dtype for dtypes in self.flow.dtypes.values() for dtype in dtypes}
        return {str(tensor.dtype).removeprefix("torch.") for tensor in held} | traced

    def _float64(self) -> Mapping[str, torch.Tensor]:
        if self._truth is None:
            self._truth = self._in_float64()
        return self._truth

    def _in_float64(self, digits: int = 0, seed: int = 0) -> dict[str, torch.Tensor]:
        """The model as it is, run in float64. Raises AnalyzerError where that cannot be had."""
        before = self._faulty()
        assert not isinstance(before, RealRun)  # whoever asks has had it
        model = before[0]
        wide = in_float64(copied(model.loaded))
        with _quiet():
            ran = run_really(wide, model.plan, within=partial(computing_in_float64, digits), seed=seed)
        if ran.failed:
            raise AnalyzerError(f"it cannot be run in float64: {_short(ran.words)}")
        return dict(ran.tensors)


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


def _alike(words: str, others: str) -> bool:
    """Whether two errors say the same of shapes of different sizes."""
    return _NUMBERS.sub("#", words) == _NUMBERS.sub("#", others)


def _short(words: str) -> str:
    return next((line.strip() for line in words.splitlines() if line.strip()), words)[:160]
