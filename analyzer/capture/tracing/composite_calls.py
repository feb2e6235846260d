"""A call as one node: refused before it reached a kernel, or on sparse tensors, which have no abstract form."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import torch
from torch.overrides import resolve_name
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes
from torch.utils._pytree import tree_map_only

from analyzer import oracle
from analyzer.capture.assumed_values import plausible
from analyzer.capture.refusals import replay, repro_script
from analyzer.capture.tensor import Abstract, Cell, dtype_name, spec_of
from analyzer.capture.tracing.outcomes import as_specs, recast, repair_dtype, results, tensors
from analyzer.capture.tracing.recorder import strides
from analyzer.capture.tracing.site import Refusal
from analyzer.capture.tracing.tracer import Tracer
from analyzer.ir.graph import CALLED, Ref
from analyzer.oracle import half_fft, operator_dtypes


def sparse(tracer: Tracer, args: Any, kwargs: Any) -> bool:
    """Whether an operand is sparse."""
    return tracer.recorder.has_sparse and any(t.sparse is not None for t in tensors((args, kwargs)))


def really(func: Any, args: Any, kwargs: Any) -> Any:
    """A call on sparse tensors, run on plausible values."""
    with torch._C._DisableTorchDispatch():
        real_args, real_kwargs = tree_map_only(Abstract, plausible, (args, kwargs))
        return func(*real_args, **real_kwargs)


def repaired(tracer: Tracer, func: Any, args: Any, kwargs: Any, error: Exception) -> Any:
    """The result of a refused call; raises `error` if it is no refusal.

    Checks of composite functions come before any kernel: they are refusals if one dtype for all helps.
    """
    run = really if sparse(tracer, args, kwargs) else _again
    home = tracer.home(list(tensors((args, kwargs))))
    for dtype in _remedies(args, kwargs, home):
        try:
            with tracer.recorder.muted(), torch.no_grad():
                result = run(func, recast(args, dtype), recast(kwargs, dtype))
        except oracle.KERNEL_ERRORS:
            continue
        if _has(tracer, func, args, kwargs):
            own, result = _in_own_dtypes(tracer.kernels.device, func, args, kwargs, result)
            if own:
                return one_node(tracer, args, kwargs, result)
        said = replay.words(oracle.words(error), (func, args, kwargs))
        return one_node(tracer, args, kwargs, result, said, dtype_name(dtype))
    raise error


def one_node(tracer: Tracer, args: Any, kwargs: Any, result: Any, words: str = "", repair: str = "") -> Any:
    """Record the whole call on the operands that were passed; what its repaired run did is left out."""
    operands = list(tensors((args, kwargs)))
    site = tracer.passes.site(tracer.call)
    if words and tracer.kernels.device != "cpu" and _is_gap(words, operands):
        tracer.inventions.note("a kernel that the CPU lacks", words, site.place)
        words = repair = ""
    given = {id(t): t for t in operands}
    made = [t for t in results(result) if id(t) not in given]
    refusal = _refusal(tracer, words, repair) if words else Refusal("", repair)
    specs = tuple(spec_of(t) for t in made)
    node_id = tracer.recorder.op(tracer.call, CALLED + tracer.call, args, kwargs, specs, site, refusal)
    handed = tuple(_handed_out(t, Ref(node_id, i)) for i, t in enumerate(made))
    if torch.is_grad_enabled() and any(t.requires_grad for t in operands):
        handed = _Whole.apply(tracer, tracer.call, handed, *operands)  # type: ignore[no-untyped-call]
    standing = given | {id(t): h for t, h in zip(made, handed, strict=True)}
    return tree_map_only(torch.Tensor, lambda t: standing[id(t)], result)


def _has(tracer: Tracer, func: Any, args: Any, kwargs: Any) -> bool:
    """Whether the plan's device is known to have a function that the CPU refuses for its dtypes."""
    dtypes = {dtype_name(t.dtype) for t in tensors((args, tuple(kwargs.values())))}
    return operator_dtypes.has_function(tracer.kernels.device, resolve_name(func) or "", dtypes)


def _in_own_dtypes(device: str, func: Any, args: Any, kwargs: Any, result: Any) -> tuple[bool, Any]:
    """The result of a call that ran in another dtype as the meta device, which the check lets pass, would give it.

    False where the device then refuses the sizes.
    """
    asking = _Asking(device)
    with _disable_current_modes(), torch._C.DisableTorchFunction(), suppress(*oracle.KERNEL_ERRORS), asking:
        given, named = tree_map_only(Abstract, _on_meta, (args, kwargs))
        dtypes = iter([t.dtype for t in results(func(*given, **named))])
        own = not asking.refused
        return own, tree_map_only(Abstract, lambda t: t.like(next(dtypes)), result) if own else result
    return False, result


class _Asking(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Looks whether a device refuses the sizes in an operation that a function on the meta device makes."""

    def __init__(self, device: str) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.refused = False
        self._device = device

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.refused |= half_fft.find(self._device, str(func), as_specs(args)) is not None
        return func(*args, **(kwargs or {}))


def _on_meta(tensor: Abstract) -> torch.Tensor:
    return torch.empty(tensor.shape, dtype=tensor.dtype, device="meta")


def _is_gap(words: str, operands: list[Abstract]) -> bool:
    floats = {t.dtype for t in operands if t.dtype.is_floating_point}
    return oracle.is_gap(words, len(floats) > 1)


def _refusal(tracer: Tracer, words: str, repair: str) -> Refusal:
    again = repro_script.write(words, [tracer.calling]) if tracer.calling else None
    return Refusal(words, repair, again, tracer.source_lines.callers())


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
        return None, None, None, *[made.get(id(t)) for t in operands]


def _remedies(args: Any, kwargs: Any, home: str) -> Iterator[torch.dtype]:
    """Dtypes in which a refused call is tried again: the least disturbing one, then float32 as the control."""
    floats = {t.dtype for t in tensors((args, kwargs)) if t.dtype.is_floating_point}
    if not floats:
        return
    first = repair_dtype(None, args, kwargs, home)
    yield from (d for d in dict.fromkeys((first, torch.float32)) if floats != {d})


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
