"""Collectives of `torch.distributed`: a group of one rank answers for itself, of a larger one the dtypes are known."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

import torch

from analyzer import oracle
from analyzer.capture.tensor import Abstract, spec_of
from analyzer.capture.tracing.outcomes import Outcome, on_meta, results, tensors
from analyzer.capture.tracing.signature import signature
from analyzer.capture.tracing.site import ACCEPTED, Refusal
from analyzer.ir import walk
from analyzer.ir.graph import Ref

if TYPE_CHECKING:
    from analyzer.capture.tracing.tracer import Tracer

_GIVE_NOTHING: Final = ("send", "barrier", "monitored_barrier_")
_FIRST: Final = (
    "allgather_", "_allgather_base_", "allgather_coalesced_", "allgather_into_tensor_coalesced_", "allreduce_",
    "allreduce_coalesced_", "alltoall_", "alltoall_base_", "broadcast_", "gather_", "recv_", "recv_any_source_",
    "reduce_", "reduce_scatter_", "_reduce_scatter_base_", "reduce_scatter_tensor_coalesced_", "scatter_",
)  # fmt: skip
"""Operations of c10d; the first argument of these is what they write into, and what they return beside the work."""


def _collective(tracer: Tracer, func: Any, args: Any, kwargs: Any) -> tuple[bool, Any]:
    """Record a collective, with what the group says of it: one rank can be asked, and others are not there."""
    sig = signature(func)
    written = list(tensors(args[0])) if sig.base not in _BASES else []
    words, work = _answer(func, args, kwargs, written)
    refusal = ACCEPTED
    if words:
        dtype = spec_of(written[0]).dtype if written else ""
        refusal = Refusal(words, dtype, callers=tracer.source_lines.callers())
    shown = tuple(arg for arg in args if isinstance(arg, (torch.Tensor, list, tuple, int, str)))
    site = tracer.passes.site(tracer.call)
    node_id = tracer.recorder.op(sig.base, sig.op, shown, {}, tuple(map(spec_of, written)), site, refusal)
    known = not words and all(t.known is not None for t in tensors(args))
    for index, target in enumerate(written):
        target.cell.known = known  # then the group has written into its value
        tracer.recorder.wrote(target, Ref(node_id, index))
    returned = [args[0] if "Tensor" in str(r.type) else work for r in func._schema.returns]
    return True, returned[0] if len(returned) == 1 else tuple(returned)


def _functional(tracer: Tracer, func: Any, args: Any, kwargs: Any) -> tuple[bool, Any]:
    """Record a functional collective: torch says without a group what it gives, and in a group it would wait."""
    made = results(func(*on_meta(args), **on_meta(kwargs)))
    outcome = Outcome(tuple([(spec_of(t), t.stride()) for t in made]))
    return True, tracer._finish(signature(func), args, kwargs, list(tensors(args)), outcome)


def _answer(func: Any, args: Any, kwargs: Any, written: list[Abstract]) -> tuple[str, Any]:
    """What the group says, "" if it takes the call, and the work that it gives."""
    group = next(arg for arg in (*args, *kwargs.values()) if isinstance(arg, torch.ScriptObject))
    if not _alone(group):
        return "", _done(written)
    dtypes = sorted({spec_of(t).dtype for t in tensors(args)})
    if len(dtypes) > 1 and "reduce_scatter" in str(func) and _ABORTS:
        return f"gloo ends the process: outputs and inputs have other dtypes, {' and '.join(dtypes)}", _done(written)
    given, named = walk.changed((args, kwargs), Abstract, _real, into=list)
    try:
        result = func(*given, **named)
    except oracle.KERNEL_ERRORS as error:
        return _LOGGED.sub("", oracle.words(error)), _done(written)
    return "", result[-1] if isinstance(result, tuple) else result


def _real(tensor: Abstract) -> torch.Tensor:
    return torch.zeros(tensor.shape, dtype=tensor.dtype) if tensor.known is None else tensor.known


def _alone(group: Any) -> bool:
    """Whether a group has one rank, or only plays at having more."""
    found = torch.distributed.ProcessGroup.unbox(group)
    return found.size() == 1 or torch.distributed.get_backend(found) == "fake"


def _done(written: list[Abstract]) -> Any:
    """A work that has ended."""
    future: Any = torch.futures.Future()
    future.set_result(list(written))
    c10d: Any = torch._C._distributed_c10d
    return c10d._create_work_from_future(future).boxed()


_LOGGED: Final = re.compile(r"^\[rank\d+\]:\[\w\d+ [\d:.]+ [\w.]+:\d+\] ")
"""Rank, time and line, which a check of gloo writes before its words."""
_FUNCTIONAL: Final = (
    "all_reduce", "all_reduce_", "all_reduce_coalesced", "all_reduce_coalesced_", "all_gather_into_tensor",
    "all_gather_into_tensor_coalesced", "reduce_scatter_tensor", "reduce_scatter_tensor_coalesced",
    "all_to_all_single", "broadcast", "broadcast_", "wait_tensor",
)  # fmt: skip
_ABORTS: Final = tuple(map(int, torch.__version__.split(".")[:2])) < (2, 13)
"""Whether gloo's checks end the process, so that it must not be asked."""
_BASES: Final = frozenset(name.lstrip("_").rstrip("_") for name in _GIVE_NOTHING)
COLLECTIVES: Final = {
    **{f"c10d.{name}.default": _collective for name in (*_FIRST, *_GIVE_NOTHING)},
    **{f"_c10d_functional.{name}.default": _functional for name in _FUNCTIONAL},
}
