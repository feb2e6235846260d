"""Attention on jagged nested tensors as one node: PyTorch takes it through the strided layout, which has no sizes."""

from __future__ import annotations

from typing import Any, Final

import torch
from torch.utils._python_dispatch import _disable_current_modes
from torch.utils._pytree import tree_leaves, tree_map_only

from analyzer.capture.assumed_values import plausible
from analyzer.capture.not_traced import NotTraced
from analyzer.capture.tensor import Abstract, Cell, spec_of
from analyzer.capture.tracing.outcomes import tensors
from analyzer.capture.tracing.recorder import strides
from analyzer.capture.tracing.tracer import Tracer
from analyzer.capture.wrapper_subclasses import held, rebuilt
from analyzer.ir.graph import CALLED, Ref

ATTENTION: Final = "scaled_dot_product_attention"


def is_nested(args: Any, kwargs: Any) -> bool:
    """Whether an argument is a nested tensor."""
    return any(isinstance(leaf, torch.Tensor) and leaf.is_nested for leaf in tree_leaves((args, kwargs)))


def attention(tracer: Tracer, func: Any, args: Any, kwargs: Any) -> Any:
    """What the real call gives for plausible values of the same lengths, standing for what it would give."""
    whole = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)]
    if torch.is_grad_enabled() and any(tensor.requires_grad for tensor in whole):
        raise NotTraced("the gradient of attention on jagged tensors is not traced", "trace it without --train")
    operands = [part for tensor in whole for part in held(tensor)]
    known = {id(t.known): t for t in tensors(operands) if t.known is not None}
    with _disable_current_modes():
        given = tree_map_only(torch.Tensor, lambda t: rebuilt(t, "", _real), (args, kwargs))
        made = func(*given[0], **given[1])
        parts = [part for part in held(made) if id(part) not in known]
    specs = tuple(map(spec_of, parts))
    node_id = tracer.recorder.op(ATTENTION, CALLED + ATTENTION, (operands,), {}, specs, tracer.passes.site(ATTENTION))
    stand = known | {id(part): _standing(part, Ref(node_id, i)) for i, part in enumerate(parts)}
    return rebuilt(made, "", lambda part, _: stand[id(part)])


def _real(part: Any, _: str) -> torch.Tensor:
    """The known value, which offsets are recognised by, else a likely one in the operand's own layout."""
    if part.known is not None:
        return part.known  # type: ignore[no-any-return]
    return torch.empty_strided(part.shape, part.stride(), dtype=part.dtype).copy_(plausible(part))


def _standing(part: torch.Tensor, ref: Ref) -> Abstract:
    return Abstract.make(spec_of(part), strides(part), ref, Cell())
