"""The function mode that names the call a person wrote, and repairs a call that is refused before any kernel runs."""

from __future__ import annotations

from typing import Any, Final

import torch
from torch.overrides import TorchFunctionMode

from analyzer import oracle
from analyzer.capture.abstract import Abstract, dtype_name
from analyzer.capture.invent import Inventions
from analyzer.capture.kernels import recast, repair_dtype, tensors
from analyzer.capture.places import Places
from analyzer.capture.tracer import Tracer

_QUIET: Final = frozenset({"__get__", "__set__"})


class Calls(TorchFunctionMode):
    """Knows the outermost torch function that is running."""

    def __init__(self, tracer: Tracer, places: Places, inventions: Inventions) -> None:
        super().__init__()
        self._tracer, self._places, self._inventions = tracer, places, inventions

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Name the call, run it, and pass it repaired if it is refused for its dtypes."""
        name = getattr(func, "__name__", "") or str(func)
        if name in _QUIET:
            return func(*args, **(kwargs or {}))
        kwargs = kwargs or {}
        host = _HOST.get(name)
        if host is not None and args and type(args[0]) is Abstract:
            return host(self._inventions.value(args[0], self._places.here()[0]), *args[1:], **kwargs)
        tracer = self._tracer
        outer, tracer.call = tracer.call, name
        try:
            return func(*args, **kwargs)
        except RuntimeError as error:
            return self._repaired(func, args, kwargs, error)
        finally:
            tracer.call = outer

    def _repaired(self, func: Any, args: Any, kwargs: Any, error: RuntimeError) -> Any:
        """Checks of composite functions come before any kernel: they are refusals if one dtype for all helps."""
        floats = {t.dtype for t in tensors((args, kwargs)) if t.dtype.is_floating_point}
        if len(floats) < 2 or self._tracer.call_refused:
            raise error
        repair = repair_dtype(None, args, kwargs)
        before = len(self._tracer.recorder.graph)
        self._tracer.call_refused = oracle.words(error)
        try:
            cast = _SilentCast.apply
            result = func(*recast(args, repair, cast), **{k: recast(v, repair, cast) for k, v in kwargs.items()})
        except RuntimeError:
            raise error from None
        finally:
            said, self._tracer.call_refused = self._tracer.call_refused, ""
        self._tracer.recorder.keep_one_refusal(before, said, dtype_name(repair))
        return result


class _SilentCast(torch.autograd.Function):
    """The cast of a repair where autograd looks on; the engine brings the gradient back to the operand's dtype."""

    @staticmethod
    def forward(ctx: Any, tensor: Abstract, dtype: torch.dtype) -> Abstract:
        return tensor.like(dtype)

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        return grad, None


_HOST: Final = {
    "numpy": torch.Tensor.numpy,
    "__array__": lambda value, *a, **k: value.numpy(),
    "tolist": torch.Tensor.tolist,
}
"""Ways out of torch that no dispatcher sees: they get the known value, or an invented one."""
