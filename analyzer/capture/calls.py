"""The function mode that names the call a person wrote, and repairs a call that is refused before any kernel runs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_map_only

from analyzer import oracle
from analyzer.capture import script
from analyzer.capture.abstract import Abstract, Cell, dtype_name, spec_of
from analyzer.capture.following import Following
from analyzer.capture.invent import Inventions, plausible
from analyzer.capture.kernels import recast, repair_dtype, results, tensors
from analyzer.capture.places import Places
from analyzer.capture.recorder import strides
from analyzer.capture.tracer import Tracer
from analyzer.graph import CALLED, Ref

_QUIET: Final = frozenset({"__get__", "__set__"})


class Calls(TorchFunctionMode):
    """Knows the outermost torch function that is running."""

    def __init__(self, tracer: Tracer, places: Places, inventions: Inventions) -> None:
        super().__init__()
        self._tracer, self._places, self._inventions = tracer, places, inventions
        self._following = Following(tracer.recorder, places)

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Name the call, run it, and pass it repaired if it is refused for its dtypes."""
        name = getattr(func, "__name__", "") or str(func)
        if name in _QUIET:
            self._following.read(func, args[0])
            return func(*args, **(kwargs or {}))
        kwargs = kwargs or {}
        host = _HOST.get(name)
        if host is not None and args and type(args[0]) is Abstract:
            return host(self._value(args[0]), *args[1:], **kwargs)
        if name in _FROM_DATA:
            args, kwargs = self._plain(args), {k: self._plain((v,))[0] for k, v in kwargs.items()}
        tracer = self._tracer
        outer = tracer.call, tracer.calling
        tracer.call, tracer.calling = name, (func, args, kwargs)
        try:
            if tracer.recorder.has_sparse and _sparse(args, kwargs):
                return self._one_node(args, kwargs, _really(func, args, kwargs))
            result = func(*args, **kwargs)
            self._following.gave(args, kwargs, result)
            return result
        except oracle.KERNEL_ERRORS as error:
            return self._repaired(func, args, kwargs, error)
        finally:
            tracer.call, tracer.calling = outer

    def _value(self, tensor: Abstract) -> torch.Tensor:
        with torch._C._DisableTorchDispatch():  # the tracer would turn an invented value into an abstract one
            return self._inventions.value(tensor, self._places.here()[0])

    def _plain(self, args: Any) -> Any:
        """Arguments with the values of the abstract tensors that stand inside lists of numbers."""
        return tuple([self._inside(a) if isinstance(a, (list, tuple)) else a for a in args])

    def _inside(self, item: Any) -> Any:
        if type(item) is Abstract:
            return self._value(item)
        return type(item)([self._inside(i) for i in item]) if type(item) in (list, tuple) else item

    def _repaired(self, func: Any, args: Any, kwargs: Any, error: Exception) -> Any:
        """Checks of composite functions come before any kernel: they are refusals if one dtype for all helps."""
        run = _really if self._tracer.recorder.has_sparse and _sparse(args, kwargs) else _again
        home = self._tracer.home(list(tensors((args, kwargs))))
        for dtype in _remedies(args, kwargs, home):
            try:
                with self._tracer.recorder.muted():
                    result = run(func, recast(args, dtype), {k: recast(v, dtype) for k, v in kwargs.items()})
            except oracle.KERNEL_ERRORS:
                continue
            return self._one_node(args, kwargs, result, oracle.words(error), dtype_name(dtype))
        raise error

    def _one_node(self, args: Any, kwargs: Any, result: Any, words: str = "", repair: str = "") -> Any:
        """The whole call as one node on the operands that were passed; what its repaired run did is left out."""
        tracer = self._tracer
        place, module = self._places.here()
        mixed = len({t.dtype for t in tensors((args, kwargs)) if t.dtype.is_floating_point}) > 1
        if words and oracle.is_gap(words, mixed) and tracer.kernels.device != "cpu":
            self._inventions.note("a kernel that the CPU lacks", words, place)
            words = repair = ""
        given = {id(t): t for t in tensors((args, kwargs))}
        made = [t for t in results(result) if id(t) not in given]
        facts: dict[str, Any] = {
            "module": module,
            "call": tracer.call,
            "place": place,
            "refused": words,
            "repair": repair,
        }
        if words and tracer.calling:
            facts["script"] = script.write(words, [tracer.calling])
        specs = tuple(spec_of(t) for t in made)
        node_id = tracer.recorder.op(tracer.call, CALLED + tracer.call, args, kwargs, specs, **facts)
        numbered = {id(t): _handed_out(t, Ref(node_id, i)) for i, t in enumerate(made)}
        return tree_map_only(torch.Tensor, lambda t: given.get(id(t)) if id(t) in given else numbered[id(t)], result)


def _remedies(args: Any, kwargs: Any, home: str) -> Iterator[torch.dtype]:
    """Dtypes in which a refused call is tried again: the least disturbing one, then float32 as the control."""
    floats = {t.dtype for t in tensors((args, kwargs)) if t.dtype.is_floating_point}
    if not floats:
        return
    first = repair_dtype(None, args, kwargs, home)
    yield from (d for d in dict.fromkeys((first, torch.float32)) if floats != {d})


def _again(func: Any, args: Any, kwargs: Any) -> Any:
    return func(*args, **kwargs)


def _really(func: Any, args: Any, kwargs: Any) -> Any:
    """A call on sparse tensors, which have no abstract form, run on plausible values."""
    with torch._C._DisableTorchDispatch():
        real_args, real_kwargs = tree_map_only(Abstract, plausible, (args, kwargs))
        return func(*real_args, **real_kwargs)


def _sparse(args: Any, kwargs: Any) -> bool:
    return any(t.sparse is not None for t in tensors((args, kwargs)))


def _handed_out(tensor: torch.Tensor, ref: Ref) -> Abstract:
    """The tensor that stands for a result of such a node; of a real run only what is no float counts as known."""
    if isinstance(tensor, Abstract):
        known = tensor.known
    else:
        known = None if tensor.dtype.is_floating_point or tensor.layout != torch.strided else tensor
    made = Abstract.make(spec_of(tensor), strides(tensor), ref, Cell(known=known is not None), known)
    made.sparse = tensor if tensor.layout != torch.strided else None
    return made


_FROM_DATA: Final = frozenset({"tensor", "as_tensor", "new_tensor"})
"""Functions that make a tensor of a list of numbers: a tensor in the list is read where no dispatcher sees it."""

_HOST: Final = {
    "numpy": torch.Tensor.numpy,
    "__array__": lambda value, *a, **k: value.numpy(),
    "tolist": torch.Tensor.tolist,
}
"""Ways out of torch that no dispatcher sees: they get the known value, or an invented one."""
