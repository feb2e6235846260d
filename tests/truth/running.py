"""One run, real or traced: every operation with its output dtypes and source line, and the error that stops it."""

from __future__ import annotations

import contextlib
import copy
import sys
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from analyzer import oracle
from analyzer.capture import Captured, Loaded
from analyzer.capture.abstract import dtype_name
from analyzer.capture.kernels import results
from analyzer.capture.places import Places
from analyzer.capture.run import capture
from analyzer.errors import AnalyzerError
from analyzer.graph import UPDATED
from analyzer.plan import Plan

NOT_THE_MODEL = (str(Path(torch.__file__).parent), __file__, "<string>", "<frozen")


@dataclass(frozen=True, slots=True)
class Op:
    """One operation: `place` is the source line, `dtypes` those of its outputs."""

    op: str
    dtypes: tuple[str, ...]
    place: str


@dataclass(frozen=True, slots=True)
class Raised:
    """An error: its words, its source line, and how many operations came before."""

    words: str
    place: str
    after: int
    stopped: bool = False
    """The trace could not go on after it."""


@dataclass(frozen=True, slots=True)
class Run:
    """What one run did; `raised` is its first error."""

    ops: tuple[Op, ...]
    raised: Raised | None = None


class _Writer(TorchDispatchMode):
    def __init__(self, places: Places) -> None:
        super().__init__()
        self.ops: list[Op] = []
        self._places = places

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        names = tuple(dtype_name(t.dtype) for t in results(result))
        if names:
            self.ops.append(Op(str(func), names, _here(self._places)))
        return result


def _here(places: Places) -> str:
    """The nearest line that is neither torch's nor this file's."""
    frame = sys._getframe(2)
    while frame.f_back and frame.f_code.co_filename.startswith(NOT_THE_MODEL):
        frame = frame.f_back
    return f"{places.show(frame.f_code.co_filename)}:{frame.f_lineno}"


def real_run(module: nn.Module, inputs: dict[str, Any], autocast: str = "") -> Run:
    """Run on the CPU, up to the first error."""
    places = Places(module, "")
    context: Any = contextlib.nullcontext()
    if autocast:
        device, _, dtype = autocast.partition(":")
        context = torch.autocast(device, getattr(torch, dtype))
    writer, given = _Writer(places), copy.deepcopy(inputs)
    try:
        with torch.no_grad(), context, writer:
            module(**given)
    except Exception as error:
        frames = [f for f in traceback.extract_tb(error.__traceback__) if not f.filename.startswith(NOT_THE_MODEL)]
        place = f"{places.show(frames[-1].filename)}:{frames[-1].lineno}" if frames else ""
        return Run(tuple(writer.ops), Raised(oracle.words(error), place, len(writer.ops)))
    return Run(tuple(writer.ops))


def traced_run(loaded: Loaded, plan: Plan) -> tuple[Run, Captured | None]:
    """The same from a capture. A capture that cannot go on is an error as well, marked `stopped`."""
    try:
        captured = capture(loaded, plan)
    except AnalyzerError as error:
        cause = error.__cause__
        where = str(error).rpartition(" at ")[2]
        return Run((), Raised(oracle.words(cause) if cause else str(error), where, 0, True)), None
    nodes = [n for n in captured.graph.ops() if n.op != UPDATED and n.outputs]
    ops = tuple(Op(n.op, tuple(s.dtype for s in n.outputs), str(n.place)) for n in nodes)
    first = next((i for i, n in enumerate(nodes) if n.refused), None)
    if first is None:
        return Run(ops), captured
    return Run(ops, Raised(nodes[first].refused, str(nodes[first].place), first)), captured
