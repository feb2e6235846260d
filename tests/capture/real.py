"""Runs a model for real on the CPU and writes down every aten operation with its output dtypes."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from analyzer.capture import Captured, Loaded
from analyzer.capture.abstract import dtype_name
from analyzer.capture.kernels import results
from analyzer.capture.run import capture
from analyzer.graph import UPDATED
from analyzer.propagate import Plan

Seen = tuple[str, tuple[str, ...]]


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


def really(module: nn.Module, inputs: dict[str, Any]) -> list[Seen]:
    """Every operation of a real run, in order."""
    given = copy.deepcopy(inputs)
    with torch.no_grad(), _Writer() as writer:
        module(**given)
    return writer.seen


def traced(module: nn.Module, inputs: dict[str, Any], plan: Plan | None = None) -> tuple[Captured, list[Seen]]:
    """The same from a capture of the module without its weights."""
    bare = copy.deepcopy(module).to("meta")
    captured = capture(Loaded(bare, type(module).__name__, "", inputs), plan or Plan(device="cpu"))
    ops = [n for n in captured.graph.ops() if n.op != UPDATED and n.outputs]
    return captured, [(n.op, tuple(s.dtype for s in n.outputs)) for n in ops]
