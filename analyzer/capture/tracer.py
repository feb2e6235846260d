"""The dispatch mode that sees every aten operation: computes it abstractly or for real, and records it."""

from __future__ import annotations

from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from analyzer.capture.abstract import Abstract, Cell, small, spec_of
from analyzer.capture.invent import RANKED, Inventions
from analyzer.capture.kernels import Kernels, results, tensors
from analyzer.capture.places import Places
from analyzer.capture.recorder import Recorder
from analyzer.capture.signature import VIEW, Signature, argument, signature
from analyzer.graph import Ref, Spec

_CPU = torch.device("cpu")
_INTEGERS = frozenset({torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8})


class Tracer(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Records a run as a ModelGraph. What depends on no weight and no float input is computed for real (D2)."""

    def __init__(self, recorder: Recorder, kernels: Kernels, places: Places, inventions: Inventions) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.recorder, self.kernels, self.places, self.inventions = recorder, kernels, places, inventions
        self.call = ""
        self.call_refused = ""
        """Set while a refused composite call is run again, repaired: its last operation carries the words."""
        self.lifted: dict[int, tuple[torch.Tensor, Abstract]] = {}

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # True would import torch._dynamo at the first operation: a second, and 100 MB

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run one operation abstractly or for real, and record it."""
        sig = signature(func)
        args = tuple([self.lift(a) for a in args])
        kwargs = {k: _CPU if k == "device" else self.lift(v) for k, v in kwargs.items()} if kwargs else {}
        special = _SPECIAL.get(sig.op)
        if special is not None:
            done, result = special(self, func, args, kwargs)
            if done:
                return result
            args = result
        operands = list(tensors((args, kwargs)))
        ours = sig.op.startswith("aten.")  # an operator of another library may have no CPU kernel
        if ours and not sig.random and all(t.known is not None and small(t) for t in operands):
            real = self._really(func, args, kwargs)
            if real is not None:
                return self._finish(sig, args, kwargs, operands, [(spec_of(t), t.stride()) for t in real], real)
        for index in sig.written:
            for target in tensors(argument(sig, index, args, kwargs)):
                target.cell.known = False
        return self._abstractly(func, sig, args, kwargs, operands)

    def lift(self, arg: Any) -> Any:
        """The argument with every plain tensor replaced by the abstract one that stands for it."""
        kind = type(arg)
        if kind is Abstract and arg.capture == Abstract.running:
            return arg
        if isinstance(arg, torch.Tensor):
            held = self.lifted.get(id(arg))
            if held is None:
                plain = (
                    arg.known if isinstance(arg, Abstract) else arg
                )  # an abstract one was kept from an earlier capture
                known, place = plain is not None, self.places.here()[0]
                made = self.recorder.stored("constant", "", arg if plain is None else plain, known=known, place=place)
                held = self.lifted[id(arg)] = (arg, made)
            return held[1]
        return kind([self.lift(item) for item in arg]) if kind is list or kind is tuple else arg

    def _really(self, func: Any, args: Any, kwargs: Any) -> list[torch.Tensor] | None:
        if "device" in kwargs and not list(tensors(args)):
            shape = func(*args, **{**kwargs, "device": torch.device("meta")})
            if isinstance(shape, torch.Tensor) and not small(shape):
                return None
        result = func(*_values(args), **{k: _values(v) for k, v in kwargs.items()})
        return results(result)

    def _abstractly(self, func: Any, sig: Signature, args: Any, kwargs: Any, operands: list[Abstract]) -> Any:
        try:
            outcome = self.kernels.outcome(func, sig, args, kwargs)
        except (RuntimeError, NotImplementedError) as error:
            if operands and all(small(t) for t in operands):
                return self._invented(func, sig, args, kwargs, operands)
            raise error
        result = self._finish(
            sig, args, kwargs, operands, outcome.outputs, None, outcome.refused, outcome.repair, outcome.gap
        )
        if operands and not sig.written and not sig.random and _counts(operands, result):
            self._suppose(func, args, kwargs, operands, result)
        return result

    def _suppose(self, func: Any, args: Any, kwargs: Any, operands: list[Abstract], result: Any) -> None:
        """Note what integers that are computed from masks and integers alone are if the masks are all true."""
        made = {id(t): self.inventions.supposed(t) for t in operands}
        if any(value is None for value in made.values()):
            return
        real = results(func(*_values(args, made), **{k: _values(v, made) for k, v in kwargs.items()}))
        for tensor, value in zip(tensors(result), real, strict=True):
            tensor.supposed = (tensor.cell.version, value)

    def _invented(self, func: Any, sig: Signature, args: Any, kwargs: Any, operands: list[Abstract]) -> Any:
        """A shape that depends on unknown values: run on plausible ones; integers of the result stay known."""
        place = self.places.here()[0]
        made = {id(t): self.inventions.value(t, place) for t in operands}
        result = func(*_values(args, made), **{k: _values(v, made) for k, v in kwargs.items()})
        found = results(result)
        reals = found if all(not t.dtype.is_floating_point for t in found) else None
        return self._finish(sig, args, kwargs, operands, [(spec_of(t), t.stride()) for t in found], reals)

    def _finish(
        self, sig: Signature, args: Any, kwargs: Any, operands: list[Abstract], outputs: Any, real: list[Any] | None,
        refused: str = "", repair: str = "", gap: str = "",
    ) -> Any:  # fmt: skip
        place, module = self.places.here()
        if gap:
            self.inventions.note("a kernel that the CPU lacks", gap, place)
        facts = {"module": module, "call": self.call, "place": place}
        facts |= {"refused": refused or self.call_refused, "repair": repair}
        specs: tuple[Spec, ...] = tuple(s for s, _ in outputs)
        node_id = self.recorder.op(sig.base, sig.op, args, kwargs, specs, **facts)
        made: list[Any] = []
        for index, (spec, stride) in enumerate(outputs):
            how = sig.returns[0 if sig.many else min(index, len(sig.returns) - 1)]
            ref = Ref(node_id, index)
            if type(how) is int:
                made.append(argument(sig, how, args, kwargs))
                continue
            value = real[index] if real is not None else None
            shares = how == VIEW and bool(operands)
            cell = operands[0].cell if shares else Cell(known=value is not None)
            tensor = Abstract.make(spec, stride, ref, cell, value)
            tensor.held = shares and operands[0].held
            if value is None and sig.base in RANKED and not spec.dtype.startswith(("float", "bfloat")) and operands:
                self._rank(tensor, args, operands, place)
            made.append(tensor)
        for index in sig.written:
            for target in tensors(argument(sig, index, args, kwargs)):
                self.recorder.wrote(target, Ref(node_id, _position(sig, index)))
        if sig.many:
            return made
        return (made[0] if made else None) if len(sig.returns) <= 1 else tuple(made)

    def _rank(self, tensor: Abstract, args: Any, operands: list[Abstract], place: Any) -> None:
        dims = [a for a in args[1:] if type(a) is int]
        shape = operands[0].shape
        dim = dims[-1] if dims else -1
        choices = shape[dim] if shape and -len(shape) <= dim < len(shape) else operands[0].numel()
        tensor.value = self.inventions.ranking(tensor, int(choices), place)
        tensor.cell.known = tensor.value is not None


def _counts(operands: list[Abstract], result: Any) -> bool:
    """Whether integers come of masks and integers, all small."""
    outputs = list(tensors(result))
    whole = not any(t.dtype.is_floating_point for t in operands) and all(small(t) for t in (*operands, *outputs))
    return whole and any(t.dtype in _INTEGERS for t in outputs)


def _values(arg: Any, made: dict[int, Any] | None = None) -> Any:
    if type(arg) is Abstract:
        return made[id(arg)] if made else arg.known
    return [_values(item, made) for item in arg] if isinstance(arg, (list, tuple)) else arg


def _position(sig: Signature, index: int) -> int:
    return sig.returns.index(index) if index in sig.returns else 0


def _scalar(tracer: Tracer, func: Any, args: Any, kwargs: Any) -> tuple[bool, Any]:
    tensor = args[0]
    if tensor.known is not None:
        return True, tensor.known.item()
    return True, tracer.inventions.scalar(tensor, tracer.places.here()[0])


def _equal(tracer: Tracer, func: Any, args: Any, kwargs: Any) -> tuple[bool, Any]:
    a, b = args[0].known, args[1].known
    if a is not None and b is not None:
        return True, bool(torch.equal(a, b))
    tracer.inventions.note("whether two tensors are equal", "True", tracer.places.here()[0])
    return True, True


def _sdp_choice(tracer: Tracer, func: Any, args: Any, kwargs: Any) -> tuple[bool, Any]:
    query, key = args[0], args[1]
    fused = query.dim() == 4 and query.shape[-1] == args[2].shape[-1] and query.shape[1] == key.shape[1]
    return True, 1 if fused and (len(args) < 5 or args[4] in (0.0, None)) else 0


def _masks(tracer: Tracer, func: Any, args: Any, kwargs: Any) -> tuple[bool, Any]:
    """Boolean masks among the indexes become the positions they select, so that shapes are known."""
    indices: list[Any] = []
    for index in args[1]:
        if isinstance(index, Abstract) and index.dtype in (torch.bool, torch.uint8):
            value = tracer.inventions.value(index, tracer.places.here()[0])
            for positions in torch.nonzero(value, as_tuple=True):
                made = tracer.recorder.stored("constant", "", positions, known=True)
                indices.append(made)
        else:
            indices.append(index)
    return False, (args[0], indices, *args[2:])


_SPECIAL = {
    "aten._local_scalar_dense.default": _scalar,
    "aten.item.default": _scalar,
    "aten.equal.default": _equal,
    "aten._fused_sdp_choice.default": _sdp_choice,
    "aten.index.Tensor": _masks,
}
