"""One small module in one variant: what the trace says against what really happens, as a frozen result."""

from __future__ import annotations

import re
import sys
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import nn

from analyzer import oracle
from analyzer.capture.tensor import dtype_name
from analyzer.capture.wrapper_subclasses import held
from analyzer.errors import AnalyzerError
from analyzer.ir.plan import Plan
from analyzer.running.forward import capture, from_callable
from analyzer.running.output_tensors import leaves
from analyzer.running.training_step import loss_of
from tests.truth.surface import Case, Variant, grouped

LOGGED: Final = re.compile(r"^\[rank\d+\]:\[F\S+ \S+ \S+\] ")
"""What gloo writes before the words of a check: rank, time and line."""
Outputs = tuple[tuple[str, tuple[int, ...]], ...]


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one run ended: dtypes and shapes of its outputs, or the words of its first error."""

    outputs: Outputs = ()
    error: str = ""
    whole: str = ""
    """All that the error and its causes say: `torch.compile` puts a kernel's words into long ones of its own."""
    stopped: bool = False
    """The trace did not go on after the error."""


@dataclass(frozen=True, slots=True)
class Result:
    case: str
    family: str
    variant: str
    real: Outcome
    traced: Outcome
    why: str = ""
    """Why the trace says that it does not follow such code; "" where it does."""

    @property
    def agrees(self) -> bool:
        """Both give the same, or both raise in the same words."""
        if self.why or bool(self.real.error) != bool(self.traced.error):
            return False
        if self.real.error:
            return self.traced.error == self.real.error or (
                self.real.whole != self.real.error
                and len(self.traced.error) > 20
                and self.traced.error in self.real.whole
            )
        return self.real.outputs == self.traced.outputs

    @property
    def sign(self) -> str:
        """The result in one character."""
        if self.why:
            return "-"
        if not self.agrees:
            return "X"
        if not self.real.error:
            return "="
        return "." if self.traced.stopped else "!"


def compare(case: Case, variant: Variant) -> Result:
    """Run a module in a variant for real and traced, and compare."""
    with grouped(case.group), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        real = _real(*variant.built(case), train=case.train)
        traced, why = _traced(*variant.built(case), train=case.train)
    return Result(case.name, case.family, variant.name, real, traced, why)


def _real(module: nn.Module, inputs: tuple[Any, ...], *, train: bool) -> Outcome:
    torch.manual_seed(0)
    if "torch._dynamo" in sys.modules:  # else a second shape makes it take sizes for variables
        torch._dynamo.reset()
    try:
        with torch.set_grad_enabled(train):
            result = module.train(train)(*inputs)
            loss = loss_of(result) if train else None
            if loss is not None:
                loss.backward()  # type: ignore[no-untyped-call]
    except Exception as error:
        return Outcome(error=LOGGED.sub("", oracle.words(error)), whole="\n".join(map(str, _chain(error))))
    parts = (part for tensor in leaves(result) for part in held(tensor))
    return Outcome(tuple((dtype_name(t.dtype), () if t.is_nested else tuple(t.shape)) for t in parts))


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__


def _traced(module: nn.Module, inputs: tuple[Any, ...], *, train: bool) -> tuple[Outcome, str]:
    try:
        captured = capture(from_callable(module.train(train), inputs, {}), Plan(device="cpu", train=train))
    except AnalyzerError as error:
        return Outcome(error=str(error), stopped=True), str(error)
    refused = next((node.refused for node in captured.graph.ops() if node.refused), "")
    if refused:
        return Outcome(error=refused), ""
    stop = captured.stop
    if stop is not None:
        words = oracle.words(stop.cause)
        return Outcome(error=words, stopped=True), words if type(stop.cause).__name__ == "NotTraced" else ""
    shown = (captured.graph[ref.id].outputs[ref.index] for ref in captured.graph.outputs)
    return Outcome(tuple((spec.dtype, tuple(spec.shape)) for spec in shown)), ""
