"""One run, real or traced: every operation with what it gives and its source line, and the error that stops it."""

from __future__ import annotations

import contextlib
import copy
import itertools
import re
import sys
import traceback
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import numpy
import torch
from torch import nn
from torch.autograd.grad_mode import _force_original_view_tracking
from torch.utils._python_dispatch import TorchDispatchMode

import analyzer
from analyzer import oracle
from analyzer.capture import Captured, Loaded
from analyzer.capture.source_lines import SourceLines
from analyzer.capture.tensor import dtype_name
from analyzer.capture.tracing.outcomes import results
from analyzer.capture.tracing.recorder import strides
from analyzer.ir import walk
from analyzer.ir.graph import UPDATED, Node, Ref
from analyzer.ir.plan import Plan
from analyzer.running.forward import capture
from analyzer.running.training_step import loss_of

OURS = str(Path(analyzer.__file__).parent)
NOT_THE_MODEL = (str(Path(torch.__file__).parent), OURS, __file__, "<string>", "<frozen")


@dataclass(frozen=True, slots=True)
class Form:
    """One tensor that an operation gave: shape and stride in elements.

    `storage` is the name of the parameter, buffer or input whose memory it is, else the number of the operation that
    gave a tensor on this memory first.
    """

    shape: tuple[int, ...]
    stride: tuple[int, ...]
    storage: str

    def __str__(self) -> str:
        return f"{list(self.shape)} by {list(self.stride)} on {self.storage}"


@dataclass(frozen=True, slots=True)
class Op:
    """One operation: `place` is the source line, `dtypes` and `forms` those of its outputs."""

    op: str
    dtypes: tuple[str, ...]
    place: str
    forms: tuple[Form, ...] = ()


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
    def __init__(self, places: SourceLines, module: nn.Module, inputs: dict[str, Any]) -> None:
        super().__init__()
        self.ops: list[Op] = []
        self._storages = Storages()
        for name, tensor in _named(module, inputs):
            self._storages.label(_memory(tensor), name)
        self.failed = ""
        """The line of the operation that raised."""
        self._places = places

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        place = _here(self._places)
        try:
            result = func(*args, **(kwargs or {}))
        except Exception:
            self.failed = place
            raise
        given = results(result)
        if given:
            names, forms = tuple(dtype_name(t.dtype) for t in given), tuple(map(self._form, given, itertools.count()))
            self.ops.append(Op(str(func), names, place, forms))
        return result

    def _form(self, tensor: torch.Tensor, index: int) -> Form:
        storage = self._storages.label(_memory(tensor), f"{len(self.ops)}.{index}")
        return Form(tuple(tensor.shape), strides(tensor), storage)


class Storages:
    """What the memory that tensors lie on is called; keeps it, so that no other memory has its address."""

    def __init__(self) -> None:
        self._labels: dict[int, tuple[str, object]] = {}

    def label(self, memory: tuple[int, object], label: str) -> str:
        """What a memory is called: `label`, if it has none yet."""
        return self._labels.setdefault(memory[0], (label, memory[1]))[0]


def _memory(tensor: torch.Tensor) -> tuple[int, object]:
    """What tells the memory of a real tensor from others, and what keeps it; of a sparse one, the tensor itself."""
    if tensor.layout != torch.strided:
        return id(tensor), tensor
    storage = tensor.untyped_storage()
    return storage._cdata, storage


def _named(module: nn.Module, inputs: dict[str, Any]) -> list[tuple[str, torch.Tensor]]:
    found: list[tuple[str, torch.Tensor]] = [*module.named_parameters(), *module.named_buffers()]
    walk.changed_with_path(inputs, torch.Tensor, lambda tensor, path: found.append((".".join(map(str, path)), tensor)))
    return found


def _here(places: SourceLines) -> str:
    """The nearest line of the model; in a backward that is not Python's, that of the forward call."""
    frame: FrameType | None = sys._getframe(2)
    while frame and frame.f_code is not _step.__code__:
        if not frame.f_code.co_filename.startswith(NOT_THE_MODEL):
            return f"{places.show(frame.f_code.co_filename)}:{frame.f_lineno}"
        frame = frame.f_back
    node = torch._C._current_autograd_node()
    stack = node.metadata.get("traceback_", []) if node is not None and not hasattr(node, "variable") else []
    lines = [found.groups() for line in stack if (found := re.match(r'\s*File "(.*)", line (\d+)', line))]
    lines = lines[[name for name, _ in lines].index(__file__) :] if lines else []  # below who runs this
    model = [(name, line) for name, line in lines if not name.startswith(NOT_THE_MODEL)]
    return f"{places.show(model[-1][0])}:{model[-1][1]}" if model else ""


def _step(module: nn.Module, inputs: dict[str, Any], train: bool) -> None:
    """What both runs do: a forward, and a backward from its loss."""
    result = module(**inputs)
    loss = loss_of(result) if train else None
    if loss is not None:
        loss.backward()  # type: ignore[no-untyped-call]


@dataclass(frozen=True, slots=True)
class How:
    """How a real run is made; `replay` has autograd replay views, as it does for every tensor subclass."""

    autocast: str = ""
    train: bool = False
    replay: bool = False


def real_run(module: nn.Module, inputs: dict[str, Any], how: How) -> Run:
    """Run on the CPU, up to the first error: once watched, for the operations, and once alone, for the words."""
    places = SourceLines(module, "")
    alone = _error(module, inputs, how)  # first, so that what a class keeps for good is there in all runs
    module, inputs = copy.deepcopy(module), copy.deepcopy(inputs)
    writer = _Writer(places, module, inputs)
    seen = _error(module, inputs, how, writer)
    ops = tuple(writer.ops)
    if seen is None and alone is None:
        return Run(ops)
    frames = traceback.extract_tb(alone.__traceback__) if alone else []
    frames = [f for f in frames if not f.filename.startswith(NOT_THE_MODEL)]
    place = f"{places.show(frames[-1].filename)}:{frames[-1].lineno}" if frames else writer.failed
    return Run(ops, Raised(oracle.words(alone) if alone else f"only watched: {seen}", place, len(ops)))


def _seed() -> None:
    """For both runs the same masks at random, which some models draw with numpy."""
    torch.manual_seed(0)
    numpy.random.seed(0)


def _error(module: nn.Module, inputs: dict[str, Any], how: How, writer: _Writer | None = None) -> Exception | None:
    if writer is None:  # some models change themselves
        module, inputs = copy.deepcopy(module), copy.deepcopy(inputs)
    module.train(how.train)
    _seed()
    with contextlib.ExitStack() as stack:
        stack.enter_context(torch.set_grad_enabled(how.train))
        stack.enter_context(_force_original_view_tracking(how.replay))
        if how.autocast:
            stack.enter_context(torch.autocast("cpu", getattr(torch, how.autocast)))
        if writer is not None:  # autograd's nodes then remember their forward calls
            stack.enter_context(warnings.catch_warnings())
            warnings.simplefilter("ignore")
            stack.enter_context(torch.autograd.set_detect_anomaly(how.train, check_nan=False))
            stack.enter_context(writer)
        try:
            _step(module, inputs, how.train)
        except Exception as error:
            return error
    return None


def _named_storages(captured: Captured) -> Storages:
    """The memory of what the model holds or is given; of a function its arguments are the inputs."""
    storages = Storages()
    for node in captured.graph.stored():
        cell = captured.layouts[Ref(node.id)].cell
        if node.op != "constant":
            storages.label((id(cell), cell), node.name.removeprefix("kwargs."))
    return storages


def _forms(node: Node, number: int, captured: Captured, storages: Storages) -> Iterator[Form]:
    for index, spec in enumerate(node.outputs):
        layout = captured.layouts[Ref(node.id, index)]
        cell = layout.cell
        yield Form(spec.shape, layout.stride, storages.label((id(cell), cell), f"{number}.{index}"))


def traced_run(loaded: Loaded, plan: Plan) -> tuple[Run, Captured | None]:
    """The same from a capture. One that cannot go on is an error as well, marked `stopped`, if it is the first."""
    _seed()
    captured = capture(loaded, plan)
    nodes = [n for n in captured.graph.ops() if n.op != UPDATED and n.outputs]
    storages = _named_storages(captured)
    ops = tuple(
        Op(n.op, tuple(s.dtype for s in n.outputs), str(n.place), tuple(_forms(n, number, captured, storages)))
        for number, n in enumerate(nodes)
    )
    first = next((i for i, n in enumerate(nodes) if n.refused), None)
    if first is None and captured.stop:
        return Run((), Raised(oracle.words(captured.stop.error), str(captured.stop.place), 0, True)), None
    if first is None:
        return Run(ops), captured
    return Run(ops, Raised(nodes[first].refused, str(nodes[first].place), first)), captured
