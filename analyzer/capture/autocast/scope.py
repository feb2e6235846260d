"""Puts the plan's autocast around what it covers: the model's forward, as Accelerate does, or the whole run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import wraps
from typing import Any, Final, TypeAlias

import torch
from torch import nn

from analyzer.capture.patching import patched
from analyzer.capture.tracing.site import Site
from analyzer.capture.tracing.tracer import Tracer
from analyzer.ir import walk
from analyzer.ir.dtypes import parse_autocast
from analyzer.ir.literal_types import Inserter
from analyzer.ir.plan import Plan

BY_ACCELERATE: Final = "accelerate"
"""`Node.inserted` of the casts of a model's outputs."""
Outside: TypeAlias = Callable[[Site], bool]
"""Whether a call is made outside of every region, although the plan has one."""
_HALVES: Final = (torch.float16, torch.bfloat16)


@contextmanager
def covered(
    plan: Plan,
    module: nn.Module,
    inserting: Callable[[Inserter], AbstractContextManager[object]],
    watching: Callable[[Outside], AbstractContextManager[object]] = lambda _: nullcontext(),
) -> Iterator[None]:
    """While this lasts, what the plan's scope names runs under the plan's autocast; casts are made in `inserting`.

    `watching` lasts as long, and is told how to know a call that is not covered.

    For "forward", `Accelerator.prepare_model` puts autocast around `forward` alone, and casts half-precision
    outputs to float32 outside of it (`convert_outputs_to_fp32`, accelerate/utils/operations.py). Other methods that
    a trainer calls are not covered. A bare function has no forward: it is the whole run.
    """
    if plan.autocast is None:
        yield
        return
    device, dtype = parse_autocast(plan.autocast)
    context = torch.autocast(device, dtype=getattr(torch, dtype))
    if plan.scope == "run" or type(module) is nn.Module:
        with context:
            yield
        return
    forward, running = module.forward, [0]

    @wraps(forward)
    def inside(*args: Any, **kwargs: Any) -> Any:
        running[0] += 1
        try:
            with context:
                result = forward(*args, **kwargs)
        finally:
            running[0] -= 1
        with inserting(BY_ACCELERATE):
            return walk.changed(result, torch.Tensor, _widened, mappings=True)

    def outside(site: Site) -> bool:
        return not (running[0] or site.phase or torch.is_autocast_enabled(device))

    autocast = patched(
        module, "forward", inside, what="forward of the traced model", why="Accelerate puts autocast around it alike."
    )
    with watching(outside), autocast:
        yield


def named(tracer: Tracer, outside: Outside) -> AbstractContextManager[object]:
    """While this lasts, calls outside of the plan's autocast have the name of the method that was entered."""
    return tracer.recorder.asking(lambda site: tracer.source_lines.entered_by() if outside(site) else "")


def _widened(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.float() if tensor.dtype in _HALVES else tensor
