"""Passes a call of a module, or of the function that is traced, that refuses a dtype in Python: one node, repaired."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import islice
from typing import Any, Final

import torch
from torch import nn

from analyzer import oracle
from analyzer.capture.calls import composite_calls
from analyzer.capture.patching import patched
from analyzer.capture.refusals import handlers
from analyzer.capture.refusals.dtype_checks import looked_at
from analyzer.capture.source_lines import told
from analyzer.capture.tensor import Abstract, dtype_name
from analyzer.capture.tracing.outcomes import changed, tensors
from analyzer.capture.tracing.tracer import Tracer
from analyzer.ir import walk
from analyzer.ir.graph import NOWHERE
from analyzer.oracle.remedies import indexes, remedies

LEVELS: Final = 2
"""How many modules, from the innermost, are called once more for one error."""
_PLAIN: Final = (torch.Tensor, int, float, bool, str, complex, type(None), torch.dtype, torch.device)
"""What a call may be given to be made again: a cache would be written twice."""


class ModuleCalls:
    """Sees every call of a module; one that raises for a dtype is made again in others."""

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer
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
        try:
            return function(*args, **kwargs)
        except Exception as error:
            quiet = self._tracer.strict or not self._tracer.mends_kinds
            if quiet or not self._may_help(error, (args, kwargs)) or handlers.caught(type(error)):
                raise
            return self._repaired(name, module, function, args, kwargs, error)

    def _may_help(self, error: Exception, given: Any) -> bool:
        """Whether other dtypes may help against an error, and it is not too far from here."""
        last, levels = self._tried
        self._tried = error, levels + 1 if last is error else 1
        if self._tried[1] > LEVELS or not all(isinstance(end, _PLAIN) for end in walk.leaves(given, object)):
            return False
        failed, call, _ = self._tracer.failed
        kernels = failed is error and isinstance(error, oracle.KERNEL_ERRORS) and not indexes(call)
        if self._tracer.of_values is error:
            return False
        return kernels or looked_at(error) is not None

    def _repaired(
        self, name: str, module: nn.Module, function: Callable[..., Any], args: Any, kwargs: Any, error: Exception
    ) -> Any:
        tracer = self._tracer
        operands, held = list(tensors((args, kwargs))), list(_held(module))
        for change in islice(_changes(operands, held), composite_calls.TRIED):
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
