"""A call as one node: refused before it reached a kernel, or on sparse tensors, which have no abstract form."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final, TypeAlias

import torch
from torch.utils._pytree import tree_map_only

from analyzer import oracle
from analyzer.capture.assumed_values import plausible
from analyzer.capture.calls import beyond_cpu
from analyzer.capture.refusals import replay, repro_script
from analyzer.capture.tensor import Abstract, Cell, dtype_name, spec_of
from analyzer.capture.tracing.outcomes import changed, recast, repair_dtype, results, tensors
from analyzer.capture.tracing.recorder import strides
from analyzer.capture.tracing.site import Refusal
from analyzer.capture.tracing.tracer import Tracer
from analyzer.ir import walk
from analyzer.ir.graph import CALLED, Ref
from analyzer.oracle import operator_dtypes
from analyzer.oracle.remedies import remedies

Run: TypeAlias = Callable[[Any, Any, Any], Any]
FAILURES: Final = (*oracle.KERNEL_ERRORS, AssertionError)
"""What a call that is put once more in other dtypes may raise where these do not help."""
TRIED: Final = 64
"""In how many other dtypes a call is tried: each is a run of the whole call."""


@dataclass(frozen=True, slots=True)
class Repair:
    """The dtype of a repair, the positions of the operands that it casts (all floats, if empty), and what it gave."""

    dtype: str
    odd: tuple[int, ...]
    result: Any


_ASKED_FOR: Final = (torch.float32, torch.int64)
"""Dtypes that are asked for in the place of one that a call refuses."""
_PACKING: Final = "_pack_padded_sequence"
"""Its gradient reads how many sequences each step has."""
_UNPACKING: Final = "_pad_packed_sequence"
"""Reads how many sequences each step has."""
_WINDOWED: Final = "istft"
"""Reads whether its window overlaps itself everywhere (aten/src/ATen/native/SpectralOps.cpp)."""
NO_REPAIR: Final = Repair("", (), None)


def is_whole(tracer: Tracer, args: Any, kwargs: Any) -> bool:
    """Whether the call that runs is run for real: an operand is sparse, or its kernels read values one by one."""
    if tracer.call == _WINDOWED:
        return any(t.known is None for t in list(tensors((args, kwargs)))[1:])
    if tracer.call == _PACKING:
        return torch.is_grad_enabled() and args[0].requires_grad and isinstance(args[0], Abstract)
    sparse = tracer.recorder.has_sparse and any(t.sparse is not None for t in tensors((args, kwargs)))
    return sparse or tracer.call == _UNPACKING


def really(func: Any, args: Any, kwargs: Any) -> Any:
    """A call that is run whole, on plausible values."""
    with torch._C._DisableTorchDispatch():
        real_args, real_kwargs = tree_map_only(Abstract, plausible, (args, kwargs))
        return func(*real_args, **real_kwargs)


def repaired(tracer: Tracer, func: Any, args: Any, kwargs: Any, error: Exception) -> Any:
    """The result of a refused call; raises `error` if it is no refusal.

    Checks of composite functions come before any kernel: they are refusals if other dtypes of the operands help. If
    none does, a kernel that says that it has no such dtype is believed.
    """
    if tracer.strict or tracer.is_caught(error):
        raise error
    repair = _repair(tracer, func, args, kwargs, error)
    if repair is None:
        raise error
    device = tracer.kernels.device
    if beyond_cpu.has(device, func, args, kwargs) and (
        own := beyond_cpu.in_own_dtypes(device, func, args, kwargs, repair.result)
    ):
        said, result = own
        return one_node(tracer, args, kwargs, repair.result if said else result, said, repair if said else NO_REPAIR)
    said = replay.words(oracle.words(error), (func, args, kwargs))
    return one_node(tracer, args, kwargs, repair.result, said, repair)


def _repair(tracer: Tracer, func: Any, args: Any, kwargs: Any, error: Exception) -> Repair | None:
    run = really if is_whole(tracer, args, kwargs) else _again
    repair = _in_one_float(tracer, run, func, args, kwargs)
    if repair is None and tracer.of_values is not error and replay.runs_on_ones((func, args, kwargs)):
        tracer.of_values = error
    if repair is None and tracer.of_values is not error:
        repair = _in_other_kinds(tracer, run, func, args, kwargs)
    repair = repair or _in_another_argument(tracer, run, func, args, kwargs)
    if repair is None and operator_dtypes.is_missing(str(error)):
        repair = _of_no_dtype(func, args, kwargs)
    return repair


def one_node(tracer: Tracer, args: Any, kwargs: Any, result: Any, words: str = "", repair: Repair = NO_REPAIR) -> Any:
    """Record the whole call on the operands that were passed; what its repaired run did is left out."""
    operands = list(tensors((args, kwargs)))
    site = tracer.passes.site(tracer.call)
    if words and tracer.kernels.device != "cpu" and oracle.is_gap(words, _floats(operands)):
        tracer.inventions.note("a kernel that the CPU lacks", words, site.place)
        words, repair = "", NO_REPAIR
    given = {id(t): t for t in operands}
    made = [t for t in results(result) if id(t) not in given]
    again = repro_script.write(words, [tracer.calling]) if words and tracer.calling else None
    callers = tracer.source_lines.callers() if words else ()
    refusal = Refusal(words, repair.dtype, repair.odd, again, callers)
    specs = tuple(spec_of(t) for t in made)
    node_id = tracer.recorder.op(tracer.call, CALLED + tracer.call, args, kwargs, specs, site, refusal)
    handed = tuple(_handed_out(t, Ref(node_id, i)) for i, t in enumerate(made))
    tracer.recorder.lie(node_id, handed)
    if torch.is_grad_enabled() and any(t.requires_grad for t in operands):
        handed = _Whole.apply(tracer, tracer.call, handed, *operands)  # type: ignore[no-untyped-call]
    standing = given | {id(t): h for t, h in zip(made, handed, strict=True)}
    return tree_map_only(torch.Tensor, lambda t: standing[id(t)], result)


def _floats(operands: list[Abstract]) -> set[str]:
    return {dtype_name(t.dtype) for t in operands if t.dtype.is_floating_point}


class _Whole(torch.autograd.Function):
    """Lets gradients pass a call that is one node: its backward is one node too."""

    @staticmethod
    def forward(ctx: Any, tracer: Tracer, call: str, made: tuple[Abstract, ...], *operands: Abstract) -> Any:
        ctx.about = tracer, call, operands
        return made

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        tracer, call, operands = ctx.about
        wanted = [t for t in operands if t.dtype.is_floating_point]
        args = [*[g for g in grads if g is not None], *operands]
        specs = tuple(spec_of(t) for t in wanted)
        name, site = f"{call}_backward", tracer.passes.site(call)
        node_id = tracer.recorder.op(name, CALLED + name, args, {}, specs, site)
        made = {id(t): _handed_out(t, Ref(node_id, i)) for i, t in enumerate(wanted)}
        tracer.recorder.lie(node_id, made.values())
        return None, None, None, *[made.get(id(t)) for t in operands]


def _in_one_float(tracer: Tracer, run: Run, func: Any, args: Any, kwargs: Any) -> Repair | None:
    """A repair by one dtype for all floats: the least disturbing one, then float32 as the control."""
    operands = list(tensors((args, kwargs)))
    floats = {t.dtype for t in operands if t.dtype.is_floating_point}
    if not floats:
        return None
    first = repair_dtype(None, args, kwargs, tracer.home(operands))
    for dtype in dict.fromkeys((first, torch.float32)):
        if floats != {dtype}:
            with suppress(*FAILURES), tracer.recorder.muted(), torch.no_grad():
                return Repair(dtype_name(dtype), (), run(func, recast(args, dtype), recast(kwargs, dtype)))
    return None


def _in_other_kinds(tracer: Tracer, run: Run, func: Any, args: Any, kwargs: Any) -> Repair | None:
    """A repair by other dtypes of any kind, in which no kernel below refuses."""
    dtypes = [dtype_name(t.dtype) for t in tensors((args, kwargs))] if tracer.mends_kinds else []
    for change in islice(remedies(dtypes, call=tracer.call), TRIED):
        with suppress(*FAILURES), tracer.trial(), torch.no_grad():
            return Repair(next(iter(change.values())), tuple(change), run(func, *changed(args, kwargs, change)))
    return None


def _in_another_argument(tracer: Tracer, run: Run, func: Any, args: Any, kwargs: Any) -> Repair | None:
    """A repair of a call that was given a dtype, as `torch.randn(2, dtype=torch.int64)`: it runs with another one."""
    for dtype in _ASKED_FOR:
        given, named = _asking_for(dtype, args, kwargs)
        if (given, named) != (args, kwargs):
            with suppress(*FAILURES), tracer.trial(), torch.no_grad():
                return Repair("", (), run(func, given, named))
    return None


def _asking_for(dtype: torch.dtype, args: Any, kwargs: Any) -> tuple[Any, Any]:
    asked: tuple[Any, Any] = walk.changed((args, kwargs), torch.dtype, lambda _: dtype)
    return asked


def _of_no_dtype(func: Any, args: Any, kwargs: Any) -> Repair | None:
    """What stands for the result of a call that no dtype mends, where its shape can be told."""
    made = beyond_cpu.shaped(func, args, kwargs)
    return None if made is None else Repair("", (), made)


def _again(func: Any, args: Any, kwargs: Any) -> Any:
    return func(*args, **kwargs)


def _handed_out(tensor: torch.Tensor, ref: Ref) -> Abstract:
    """The tensor that stands for a result of such a node; of a real run only what is no float counts as known."""
    if isinstance(tensor, Abstract):
        known = tensor.known
    else:
        known = None if tensor.dtype.is_floating_point or tensor.layout != torch.strided else tensor
    made = Abstract.make(spec_of(tensor), strides(tensor), ref, Cell(known=known is not None), known)
    made.sparse = tensor if tensor.layout != torch.strided else None
    return made
