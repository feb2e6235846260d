"""A training step in the place of a forward pass: training mode, gradients, a loss, and its backward pass."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.utils._foreach_utils import _foreach_supported_types

from analyzer.capture.tensor import Abstract
from analyzer.capture.tracing.tracer import Tracer
from analyzer.ir.graph import NOWHERE
from analyzer.running.output_tensors import leaves

Run = Callable[[nn.Module, dict[str, Any]], Any]


def step(run: Run, tracer: Tracer) -> Run:
    """`run`, followed by the backward pass of its loss unless it ran one itself."""

    def trained(module: nn.Module, inputs: dict[str, object]) -> object:
        tracer.passes.ran = False
        result = run(module, inputs)
        if not tracer.passes.ran:
            loss = loss_of(result)
            if loss is None:
                tracer.inventions.note("nothing in the outputs requires a gradient", "no backward pass", NOWHERE)
            else:
                loss.backward()  # type: ignore[no-untyped-call]
        return result

    tracer.source_lines.stops |= {trained.__code__, loss_of.__code__}
    return trained


def loss_of(result: object) -> torch.Tensor | None:
    """The number to run backward from; None if nothing requires a gradient.

    It is what the result calls `loss`, as in transformers; else the result, if it is one number; else the sum of the
    means of its float tensors that require a gradient, each mean in its tensor's dtype.
    """
    named = result.get("loss") if isinstance(result, Mapping) else getattr(result, "loss", None)
    if isinstance(named, torch.Tensor) and named.requires_grad:
        return named
    floats = [t for t in leaves(result) if t.is_floating_point() and t.requires_grad]
    if len(floats) == 1 and floats[0].dim() == 0:
        return floats[0]
    means = [t.mean() for t in floats]
    return sum(means[1:], start=means[0]) if means else None


def require_gradients(module: nn.Module, inputs: object) -> None:
    """If neither a parameter nor an input requires a gradient, let all float inputs do, as for a plain function."""
    if not any(p.requires_grad for p in module.parameters()):
        floats = [t for t in leaves(inputs) if t.is_floating_point() or t.is_complex()]
        for tensor in floats if not any(t.requires_grad for t in floats) else ():
            tensor.requires_grad_()


@contextmanager
def training(module: nn.Module, inputs: object, tracer: Tracer) -> Iterator[None]:
    """Training mode and gradients; afterwards every module is in the mode that it was in, and no gradient is left.

    If neither a parameter nor an input requires a gradient, all float inputs do, as one traces a plain function.
    """
    modes = [(m, m.training) for m in module.modules()]
    module.train()
    require_gradients(module, inputs)
    _foreach_supported_types.append(Abstract)  # else clip_grad_norm_ takes tensors one by one
    try:
        with torch.enable_grad():
            yield
    finally:
        _foreach_supported_types.remove(Abstract)
        for part, mode in modes:
            part.training = mode
        for tensor, _ in tracer.lifted.values():  # a parameter that a function closes over is not swapped out
            if tensor.is_leaf and type(tensor.grad) is Abstract:
                tensor.grad = None
