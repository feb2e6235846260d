"""The function mode that names the call a person wrote, and repairs a call that is refused before any kernel runs."""

from __future__ import annotations

import sys
from functools import partial
from typing import Any, Final

import torch
from torch._ops import HigherOrderOperator
from torch.overrides import TorchFunctionMode

from analyzer import oracle
from analyzer.capture.assumed_values import Inventions
from analyzer.capture.calls import composite_calls, higher_order, jagged_attention
from analyzer.capture.calls.device_demands import is_demanded
from analyzer.capture.calls.dtype_reads import Following
from analyzer.capture.emulation.cuda import stay
from analyzer.capture.refusals import replay
from analyzer.capture.refusals.handlers import caught
from analyzer.capture.source_lines import SourceLines
from analyzer.capture.tensor import Abstract
from analyzer.capture.tracing.tracer import Tracer
from analyzer.ir import walk

_QUIET: Final = frozenset({"__get__", "__set__"})
_SET_DATA: Final = torch.Tensor.data.__set__  # type: ignore[attr-defined]
"""What `module.to(dtype)` calls on every parameter: it stays itself and becomes the cast one."""


class Calls(TorchFunctionMode):
    """Knows the outermost torch function that is running."""

    def __init__(self, tracer: Tracer, places: SourceLines, inventions: Inventions) -> None:
        super().__init__()
        self._tracer, self._places, self._inventions = tracer, places, inventions
        self.following = Following(tracer.recorder, places)

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Name the call, run it, and pass it repaired if it is refused for its dtypes."""
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "") or str(func)
        name = name.partition(".")[0]  # of an overload, as exported programs call them
        if name in _QUIET:
            if is_demanded(func, self._tracer.kernels.device, sys._getframe(1)):
                return True
            return self._attribute(func, args, kwargs)
        host = _HOST.get(name)
        if host is not None and args and type(args[0]) is Abstract:
            return self._left(name, func, host, args, kwargs)
        if name == "__format__" and type(args[0]) is Abstract and not args[0].dim():
            func = _formatted
        gone, args, kwargs = stay(name, args, kwargs)
        if gone:
            return args[0]
        args, kwargs = self._with_values(name, args, kwargs)
        tracer = self._tracer
        tracer.lenders.asked(name, args)
        self.following.asked(name, args)
        outer = tracer.call, tracer.calling
        tracer.call, tracer.calling = name, (func, args, kwargs)
        try:
            return self._run(name, func, args, kwargs)
        except Exception as error:
            tracer.failed = error, name, (args, kwargs)
            if isinstance(error, composite_calls.FAILURES):
                return composite_calls.repaired(tracer, func, args, kwargs, error)
            raise
        finally:
            tracer.call, tracer.calling = outer

    def _left(self, name: str, func: Any, host: Any, args: Any, kwargs: Any) -> Any:
        """What a way out of torch gives; numpy lacks some dtypes, and takes nothing that wants a gradient."""
        tensor, tracer = args[0], self._tracer
        value = self._value(tensor)
        with torch._C._DisableTorchDispatch():  # `numpy` detaches first, into memory that no abstract tensor has
            if tensor.requires_grad:
                value = value.detach().requires_grad_()
            try:
                return host(value, *args[1:], **kwargs)
            except TypeError as error:
                known = not tracer.strict and _NOT_IN_NUMPY in str(error)
                if not known or caught(error, sys._getframe(1), self._places.until):
                    raise
                said, made = oracle.words(error), host(_in_float32(value.detach()), *args[1:], **kwargs)
        with tracer.named(name):
            tracer.calling = func, args, kwargs
            repair = composite_calls.Repair("float32", (), made)
            return composite_calls.one_node(tracer, args, kwargs, made, said, repair)

    def _with_values(self, name: str, args: Any, kwargs: Any) -> tuple[Any, Any]:
        """The arguments, with the values of those that a function reads where no dispatcher sees it."""
        if name in _RECURRENT and type(args[1]) is Abstract and isinstance(args[3], (list, tuple)):
            args = (args[0], self._value(args[1]), *args[2:])
        if name in _FROM_DATA:
            args, kwargs = self._plain(args), {k: self._plain((v,))[0] for k, v in kwargs.items()}
        return args, kwargs

    def _run(self, name: str, func: Any, args: Any, kwargs: Any) -> Any:
        """The result of a call, by the way that leads to it."""
        tracer = self._tracer
        if isinstance(func, HigherOrderOperator):
            with self:  # its functions make calls of their own
                return higher_order.run(tracer, func, args, kwargs)
        if name == jagged_attention.ATTENTION and jagged_attention.is_nested(args, kwargs):
            return jagged_attention.attention(tracer, func, args, kwargs)
        if composite_calls.is_whole(tracer, args, kwargs):
            return composite_calls.one_node(tracer, args, kwargs, composite_calls.really(func, args, kwargs))
        result = self._way(name, func)(*args, **kwargs)
        self.following.gave(name, args, kwargs, result)
        return result

    def _attribute(self, func: Any, args: Any, kwargs: Any) -> Any:
        """A read or a write of an attribute of a tensor, which is no call that a person wrote."""
        self.following.read(func, args[0])
        result = func(*args, **kwargs)
        if func == _SET_DATA and type(args[0]) is type(args[1]) is Abstract:
            args[0].become(args[1])
        return result

    def _value(self, tensor: Abstract) -> torch.Tensor:
        with torch._C._DisableTorchDispatch():  # the tracer would turn an invented value into an abstract one
            return self._inventions.value(tensor, self._places.here()[0])

    def _way(self, name: str, func: Any) -> Any:
        """How a function is called: as it is, but for those that a dispatcher cannot follow."""
        if name in _READS_DATA:
            return partial(self._on_values, func)
        return partial(self._as_alone, func) if name in _OTHERWISE else func

    def _on_values(self, func: Any, tensor: Any, *args: Any, **kwargs: Any) -> Any:
        """A call whose operands but the first are read where no dispatcher sees it."""
        args, kwargs = walk.changed((args, kwargs), Abstract, self._value)
        return func(tensor, *args, **kwargs)

    def _as_alone(self, func: Any, *args: Any, **kwargs: Any) -> Any:
        """A call that takes another kernel when a mode watches: it is made as nobody watched, for its refusal alone."""
        if said := replay.raised((func, args, kwargs)):
            raise RuntimeError(said)
        return func(*args, **kwargs)

    def _plain(self, args: Any) -> Any:
        """Arguments with the values of the abstract tensors that stand inside lists of numbers."""

        def inside(value: Any) -> Any:
            return walk.changed(value, Abstract, self._value, exact=True)

        return tuple([inside(a) if isinstance(a, (list, tuple)) else a for a in args])


def _formatted(tensor: Abstract, form: str) -> str:
    """As the installed torch formats a plain tensor of no dimension: newer ones detach it first."""
    detached = tensor.detach() if _DETACHES else tensor
    return detached.item().__format__(form)


_DETACHES: Final = "detach" in torch.Tensor.__format__.__code__.co_names
_FROM_DATA: Final = frozenset({"tensor", "as_tensor", "new_tensor"})
"""Functions that make a tensor of a list of numbers: a tensor in the list is read where no dispatcher sees it."""

_READS_DATA: Final = frozenset({"tensor_split"})
"""Functions that read the numbers of a tensor where no dispatcher sees it (aten/src/ATen/native/TensorShape.cpp)."""
_OTHERWISE: Final = frozenset({"max_pool1d"})
"""Functions that ask `isTensorSubclassLike`, or whether a gradient is wanted, before they choose a kernel with other
dtypes (aten/src/ATen/native/MaxPooling.cpp)."""
_RECURRENT: Final = frozenset({"lstm", "gru", "rnn_tanh", "rnn_relu"})
"""Functions that read the sizes of a packed sequence's steps where no dispatcher sees it: their second argument, if the
fourth holds the weights."""


def _in_float32(value: torch.Tensor) -> torch.Tensor:
    """The value in float32; one number that stands at every place of a large tensor stays one."""
    if any(value.stride()) or not value.dim():
        return value.float()
    return value[(0,) * value.dim()].float().expand(value.shape)


_HOST: Final = {
    "numpy": torch.Tensor.numpy,
    "__array__": lambda value, *a, **k: value.numpy(),
    "__dlpack__": torch.Tensor.__dlpack__,
    "tolist": torch.Tensor.tolist,
}
"""Ways out of torch that no dispatcher sees: they get the known value, or an invented one."""
_NOT_IN_NUMPY: Final = "unsupported ScalarType"
"""What the words of torch hold where numpy has no such dtype (torch/csrc/utils/tensor_numpy.cpp)."""
