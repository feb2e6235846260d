"""Which results of an operation can be known although no weight is: by its schema, and by what its operands are."""

from __future__ import annotations

from typing import Any, Final

import torch

from analyzer.capture.assumed_values import VALUES_FIRST
from analyzer.capture.tensor import Abstract, small
from analyzer.capture.tracing.outcomes import tensors
from analyzer.capture.tracing.signature import Signature
from analyzer.ir.graph import Spec

_FEW: Final = 1
"""Floats that a length is made of: more are positions or the like."""
_INTEGERS: Final = frozenset({torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8})


def is_choice(sig: Signature, index: int, spec: Spec) -> bool:
    """Whether an output of an operation that ranks holds positions or masks, not the values that were ranked."""
    return (index > 0 or sig.base not in VALUES_FIRST) and not spec.dtype.startswith(("float", "bfloat"))


def can_be_known(sig: Signature, operands: list[Abstract]) -> bool:
    """Whether the operation can be run for real; one of another library may have no CPU kernel."""
    if not sig.op.startswith("aten.") or sig.random:
        return False
    return all(t.known is not None and (sig.forms or small(t)) for t in operands)


def assigned(call: str, calling: tuple[Any, Any, Any] | None, made: torch.Tensor) -> float | None:
    """The number that `x[i] = number` writes: the tensor made of it has the dtype of x, and may be infinite there."""
    if call != "__setitem__" or calling is None or made.dim():
        return None
    given = calling[1][-1]
    return float(given) if type(given) in (int, float) else None


def counts(operands: list[Abstract], result: Any) -> bool:
    """Whether a mask comes of anything, or integers of masks and integers or of a few floats, all small."""
    outputs = list(tensors(result))
    if not outputs or not all(small(t) for t in (*operands, *outputs)):
        return False
    floating = any(t.dtype.is_floating_point and t.numel() > _FEW for t in operands)
    return all(t.dtype == torch.bool or (t.dtype in _INTEGERS and not floating) for t in outputs)
