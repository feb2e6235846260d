"""Runs a model for real on the CPU and writes down every aten operation with its output dtypes."""

from __future__ import annotations

import copy
import traceback
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from analyzer import oracle
from analyzer.capture import Captured, Loaded
from analyzer.capture.tensor import dtype_name
from analyzer.capture.tracing.outcomes import results
from analyzer.ir.graph import UPDATED
from analyzer.ir.plan import Plan
from analyzer.running.forward import capture
from analyzer.running.training_step import loss_of

Seen = tuple[str, tuple[str, ...]]
Run = Callable[[nn.Module, dict[str, Any]], Any]


class _Writer(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Seen] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        names = tuple(dtype_name(t.dtype) for t in results(result))
        if names:
            self.seen.append((str(func), names))
        return result


def watched() -> Any:
    """A mode that writes down what it sees, for what else it changes."""
    return _Writer()


def really(module: nn.Module, inputs: dict[str, Any], inside: AbstractContextManager[Any] | None = None) -> list[Seen]:
    """Every operation of a real run, in order; `inside` is put around it."""
    given = copy.deepcopy(inputs)
    with torch.no_grad(), _Writer() as writer, inside or nullcontext():
        module(**given)
    return writer.seen


def really_trained(
    module: nn.Module, inputs: dict[str, Any], run: Run | None = None
) -> tuple[list[Seen], RuntimeError | None]:
    """Every operation of a real training step of a copy of the module, in order, and the error that ended it."""
    module, given, writer = copy.deepcopy(module).train(), copy.deepcopy(inputs), _Writer()
    try:
        with writer:
            (run or _step)(module, given)
    except RuntimeError as error:
        return writer.seen, error
    return writer.seen, None


def bare(module: nn.Module) -> nn.Module:
    """A copy on the meta device, with tied tensors tied."""
    memo: dict[int, Any] = {id(t): t.to("meta") for t in module.buffers()}
    memo |= {id(p): nn.Parameter(p.detach().to("meta"), p.requires_grad) for p in module.parameters()}
    return copy.deepcopy(module, memo)


def traced(
    module: nn.Module, inputs: dict[str, Any], plan: Plan | None = None, run: Run | None = None
) -> tuple[Captured, list[Seen]]:
    """The same from a capture of the module without its weights."""
    captured = capture(Loaded(bare(module), type(module).__name__, "", inputs, run), plan or Plan(device="cpu"))
    ops = [n for n in captured.graph.ops() if n.op != UPDATED and n.outputs and oracle.overload(n.op)._schema.returns]
    return captured, [(n.op, tuple(s.dtype for s in n.outputs)) for n in ops]


def raised_at(error: BaseException) -> tuple[str, int]:
    """File and line of the innermost frame outside torch, what stands in for a library's kernels, and this file."""
    kernels = ("/torch/", "/stand_in_kernels.py")
    frames = [f for f in traceback.extract_tb(error.__traceback__) if not any(name in f.filename for name in kernels)]
    frames = [f for f in frames if f.filename != __file__]
    return frames[-1].filename, frames[-1].lineno or 0


def _step(module: nn.Module, inputs: dict[str, Any]) -> None:
    loss = loss_of(module(**inputs))
    assert loss is not None
    loss.backward()  # type: ignore[no-untyped-call]
