"""Passes a call of a module, or of the function that is traced, that refuses a dtype in Python: one node, repaired."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from itertools import islice
from typing import Any, Final

import torch
from torch import nn

from analyzer import oracle
from analyzer.capture.calls import composite_calls
from analyzer.capture.calls.dtype_reads import Following
from analyzer.capture.not_traced import NotTraced
from analyzer.capture.patching import patched
from analyzer.capture.refusals.dtype_checks import chain, is_of_other, looked_at
from analyzer.capture.refusals.handlers import caught
from analyzer.capture.source_lines import told
from analyzer.capture.tensor import Abstract, dtype_name
from analyzer.capture.tracing.outcomes import changed, tensors
from analyzer.capture.tracing.tracer import Tracer
from analyzer.errors import AnalyzerError
from analyzer.ir import walk
from analyzer.ir.graph import NOWHERE
from analyzer.oracle.remedies import indexes, remedies

LEVELS: Final = 2
"""How many modules, from the innermost, are called once more for one error."""
ASKED: Final = 24
"""In how many other dtypes a call is made whose code asked for a dtype before it raised: it may have other reasons."""
_PLAIN: Final = (torch.Tensor, int, float, bool, str, complex, type(None), torch.dtype, torch.device)
"""What a call may be given to be made again: a cache would be written twice."""


class ModuleCalls:
    """Sees every call of a module; one that raises for a dtype is made again in others."""

    def __init__(self, tracer: Tracer, told: Following) -> None:
        self._tracer, self._reads = tracer, told
        self._tried: tuple[BaseException | None, int] = None, 0
        """The last error, and by how many modules it has passed."""

    @contextmanager
    def watched(self) -> Iterator[None]:
        """While this lasts, modules are called through this."""
        original = nn.Module._call_impl

        def call(module: nn.Module, *args: Any, **kwargs: Any) -> Any:
            return self.call(type(module).__name__, module, partial(original, module), args, kwargs)

        why = "A module may refuse a dtype in Python, as `nn.LSTM` does: the call is repaired as that of a kernel."
        with patched(nn.Module, "_call_impl", call, why=why):
            yield

    def call(self, name: str, module: nn.Module, function: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        """Call a module, or a function that stands for the whole run, and repair it if it is refused."""
        reads = self._reads.count
        try:
            return function(*args, **kwargs)
        except Exception as error:
            quiet = self._tracer.strict or not self._tracer.mends_kinds
            if (
                quiet
                or not self._may_help(error, (args, kwargs))
                or caught(error, sys._getframe(1), self._tracer.source_lines.until)
            ):
                raise
            if self._is_known(error):
                return self._repaired(name, module, function, args, kwargs, error, composite_calls.TRIED)
            asked = self._reads.count > reads and not is_of_other(error)
            if not asked or not self._fails_again(function, args, kwargs, error):
                raise
            return self._repaired(name, module, function, args, kwargs, error, ASKED)

    def _may_help(self, error: Exception, given: Any) -> bool:
        """Whether other dtypes may help against an error, and it is not too far from here."""
        last, levels = self._tried
        self._tried = error, levels + 1 if last is error else 1
        if self._tried[1] > LEVELS or not all(isinstance(end, _PLAIN) for end in walk.leaves(given, object)):
            return False
        failed, call, _ = self._tracer.failed
        of_index = isinstance(failed, oracle.KERNEL_ERRORS) and indexes(call)
        causes: list[BaseException | None] = list(chain(error))
        ends = isinstance(error, (AnalyzerError, NotTraced)) or self._tracer.of_values in causes
        return not ends and not (of_index and failed in causes)

    def _is_known(self, error: Exception) -> bool:
        """Whether an error is told to be of dtypes: by a kernel, or by the source of what raised it."""
        kernels = self._tracer.failed[0] is error and isinstance(error, oracle.KERNEL_ERRORS)
        return kernels or looked_at(error) is not None

    def _fails_again(self, function: Callable[..., Any], args: Any, kwargs: Any, error: Exception) -> bool:
        """Whether a call that changes nothing fails in the same way, and no value that was made up decides there."""
        tracer = self._tracer
        assumed = tracer.inventions.count
        try:
            with tracer.trial(), torch.no_grad():
                again_args, again_kwargs = changed(args, kwargs, {})
                function(*again_args, **again_kwargs)
        except Exception as again:  # whatever the code of a model may raise
            same = type(again) is type(error) and str(again) == str(error)
            return same and tracer.inventions.count == assumed
        return False

    def _repaired(
        self, name: str, module: nn.Module, function: Callable[..., Any], args: Any, kwargs: Any, error: Exception,
        tried: int,
    ) -> Any:  # fmt: skip
        tracer = self._tracer
        operands, held = list(tensors((args, kwargs))), list(_held(module))
        changes = (change for change in _changes(operands, held) if tried != ASKED or _keeps(operands, change))
        for change in islice(changes, tried):
            try:
                with tracer.trial(), torch.no_grad():
                    result = function(*changed(args, kwargs, change)[0], **changed(args, kwargs, change)[1])
            except Exception:  # whatever the code of a model may raise
                continue
            repair = composite_calls.Repair(next(iter(change.values())), tuple(change), result)
            place, path = tracer.source_lines.of_error(error)
            place = tracer.source_lines.here()[0] if place == NOWHERE else place
            with tracer.named(name), told(place, path):
                return composite_calls.one_node(tracer, [*operands, *held], {}, result, oracle.words(error), repair)
        raise error


def _held(module: nn.Module) -> Iterator[Abstract]:
    held: Iterator[torch.Tensor] = module.parameters()
    return (tensor for tensor in held if isinstance(tensor, Abstract))


def _changes(operands: list[Abstract], held: list[Abstract]) -> Iterator[dict[int, str]]:
    """Other dtypes for what a module was given: first that of its own parameters, for all floats."""
    dtypes = [dtype_name(t.dtype) for t in operands]
    floats = [at for at, t in enumerate(operands) if t.dtype.is_floating_point]
    for own in dict.fromkeys(dtype_name(t.dtype) for t in held if t.dtype.is_floating_point):
        if change := {at: own for at in floats if dtypes[at] != own}:
            yield change
    yield from remedies(dtypes)


def _keeps(operands: list[Abstract], change: Mapping[int, str]) -> bool:
    """Whether the numbers that are known stay what they are in other dtypes: a check of these is not what is asked."""
    with torch._C._DisableTorchDispatch(), torch._C.DisableTorchFunction():
        return all(_holds(operands[at].known, getattr(torch, dtype)) for at, dtype in change.items())


def _holds(known: torch.Tensor | None, dtype: torch.dtype) -> bool:
    if known is None or dtype.is_complex:
        return True
    return torch.equal(known.to(dtype).to(known.dtype), known)
