"""Puts the plan's autocast around what it covers: the model's forward, as Accelerate does, or the whole run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import wraps
from typing import Any, Final

import torch
from torch import nn

from analyzer.capture.patching import patched
from analyzer.ir import walk
from analyzer.ir.dtypes import parse_autocast
from analyzer.ir.literal_types import Inserter
from analyzer.ir.plan import Plan

BY_ACCELERATE: Final = "accelerate"
"""`Node.inserted` of the casts of a model's outputs."""
_HALVES: Final = (torch.float16, torch.bfloat16)


@contextmanager
def covered(
    plan: Plan, module: nn.Module, inserting: Callable[[Inserter], AbstractContextManager[object]]
) -> Iterator[None]:
    """While this lasts, what the plan's scope names runs under the plan's autocast; casts are made in `inserting`.

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
    forward = module.forward

    @wraps(forward)
    def inside(*args: Any, **kwargs: Any) -> Any:
        with context:
            result = forward(*args, **kwargs)
        with inserting(BY_ACCELERATE):
            return walk.changed(result, torch.Tensor, _widened, mappings=True)

    with patched(
        module, "forward", inside, what="forward of the traced model", why="Accelerate puts autocast around it alike."
    ):
        yield


def _widened(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.float() if tensor.dtype in _HALVES else tensor
