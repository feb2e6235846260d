"""What one call yields: shapes from the meta kernel, dtypes and refusals from the real one, repaired if refused."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import torch

from analyzer import oracle
from analyzer.capture.refusals import replay
from analyzer.capture.tensor import Abstract, computing, dtype_name, spec_of
from analyzer.capture.tracing.autograd import in_backward
from analyzer.capture.tracing.layouts import stride
from analyzer.capture.tracing.signature import Signature, argument
from analyzer.ir.graph import DtypeArg, Spec
from analyzer.ir.witness import CPU, Witness

Strided = tuple[Spec, tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class Outcome:
    """Outputs (spec and stride in elements) of a call; `refused` and `repair` as in a graph node."""

    outputs: tuple[Strided, ...]
    refused: str = ""
    repair: str = ""
    gap: str = ""
    """The CPU's words where it has no kernel and another device is assumed to have one."""
    asked: Witness = CPU
    """Who refused, as the oracle says it."""
    absent: tuple[int, ...] = ()
    """Which of the returned tensors are none, such as a gradient that is not asked for."""


class Kernels:
    """Remembers the outcome of every distinct call: a layer that repeats costs one look-up an operation."""

    def __init__(self, device: str) -> None:
        self.device = device
        self._known: dict[Any, Outcome] = {}

    def outcome(
        self, function: Any, sig: Signature, args: tuple[Any, ...], kwargs: dict[str, Any], home: Callable[[], str]
    ) -> Outcome:
        """The outcome of a call on abstract tensors; `home` tells a repair which dtype is at home there ("": any).

        Raises what the meta kernel raises when it cannot tell.
        """
        key = (sig.op, in_backward(), _key(args), _key(tuple(kwargs.items())) if kwargs else ())
        known = self._known.get(key)
        if known is None:
            known = self._known[key] = self._work_out(function, sig, args, kwargs, "")
        if not known.repair:
            return known
        at_home = home()
        repaired = self._known.get((key, at_home))
        if repaired is None:
            repaired = self._known[key, at_home] = self._work_out(function, sig, args, kwargs, at_home)
        return repaired

    def _work_out(
        self, function: Any, sig: Signature, args: tuple[Any, ...], kwargs: dict[str, Any], home: str
    ) -> Outcome:
        specs, named = as_specs(args), tuple((k, as_specs(v)) for k, v in kwargs.items())
        answer = oracle.ask(sig.op, specs, named, self.device)
        if isinstance(answer, oracle.Refused) and answer.uniform and replay.runs((function, args, kwargs)):
            answer = oracle.Unanswered("it runs in the layout that its operands have")
        if isinstance(answer, oracle.Refused) and not answer.gap:
            repair = repair_dtype(sig, args, kwargs, home)
            meant = oracle.ask(sig.op, specs, named)
            if isinstance(meant, oracle.Dtypes) and meant.names:  # the CPU runs it: what it gives starts no cascade
                repair = getattr(torch, meant.names[0])
            fixed = recast(args, repair), {k: recast(v, repair) for k, v in kwargs.items()}
            outputs, absent = _meta(function, *fixed)
            told = dtype_name(repair) if in_backward() else home or dtype_name(repair)
            return Outcome(outputs, answer.message, told, asked=answer.asked, absent=absent)
        shaped = _shaped if isinstance(answer, oracle.Dtypes) else _meta
        outputs, absent = shaped(function, args, kwargs)
        if isinstance(answer, oracle.Dtypes) and len(answer.names) == len(outputs):
            outputs = tuple((replace(s, dtype=d), stride) for (s, stride), d in zip(outputs, answer.names, strict=True))
        if not isinstance(answer, oracle.Refused):
            return Outcome(outputs, absent=absent)
        if self.device == "cpu":
            return Outcome(outputs, answer.message, absent=absent)
        return Outcome(outputs, gap=answer.message, absent=absent)


def as_specs(arg: Any) -> Any:
    """An argument as the oracle wants it: tensors as specs, dtypes by name, no devices or layouts."""
    if isinstance(arg, torch.Tensor):
        return spec_of(arg)
    kind = type(arg)
    if kind is torch.dtype:
        return DtypeArg(dtype_name(arg))
    if isinstance(arg, (list, tuple)):
        return tuple([as_specs(item) for item in arg])
    return arg if kind in (int, float, bool, str, complex) else None


def tensors(arg: Any) -> Iterator[Abstract]:
    """Every abstract tensor inside an argument, depth first."""
    if type(arg) is Abstract:
        yield arg
    elif isinstance(arg, (list, tuple)):
        for item in arg:
            yield from tensors(item)
    elif isinstance(arg, dict):
        for item in arg.values():
            yield from tensors(item)


def results(result: Any) -> list[torch.Tensor]:
    """The tensors that an operation returned, alone, several, or in lists, in order."""
    if isinstance(result, torch.Tensor):
        return [result]
    return [t for item in result for t in results(item)] if isinstance(result, (tuple, list)) else []


def holes(result: Any) -> tuple[int, ...]:
    """Which of several returned tensors are none."""
    return tuple([i for i, t in enumerate(result) if t is None]) if isinstance(result, tuple) else ()


def repair_dtype(sig: Signature | None, args: tuple[Any, ...], kwargs: dict[str, Any], home: str = "") -> torch.dtype:
    """The dtype that starts no cascade (D4).

    That is the destination's, else the one at home in the module, else the parameter's, else that of most operands.
    In a backward pass a gradient is what it has to be, and a parameter that differs from it is the odd one.
    """
    floats = [t for t in tensors((args, tuple(kwargs.values()))) if t.dtype.is_floating_point]
    for index in sig.written if sig else ():
        target = argument(sig, index, args, kwargs)  # type: ignore[arg-type]
        if isinstance(target, Abstract):
            return target.dtype
    if home and not in_backward():
        return getattr(torch, home)  # type: ignore[no-any-return]
    floats = computing(floats)
    voters = [t.dtype for t in floats if t.held is not in_backward()] or [t.dtype for t in floats]
    if not voters:
        return torch.float32
    everyone = Counter(t.dtype for t in floats)
    return max(Counter(voters).items(), key=lambda item: (item[1], everyone[item[0]], -item[0].itemsize))[0]


def recast(arg: Any, dtype: torch.dtype, cast: Callable[[Abstract, torch.dtype], Any] = Abstract.like) -> Any:
    """The argument with every float tensor in `dtype`, making no node."""
    if type(arg) is Abstract:
        return cast(arg, dtype) if arg.dtype.is_floating_point and arg.dtype != dtype else arg
    if isinstance(arg, (list, tuple)):
        return type(arg)([recast(item, dtype, cast) for item in arg])
    return arg


def _shaped(function: Any, args: Any, kwargs: Any) -> tuple[tuple[Strided, ...], tuple[int, ...]]:
    """As `_meta`, also where the meta kernel takes fewer dtypes than the real one, as that of `_grouped_mm` does.

    Shapes do not depend on a float's dtype: they are those of a call in another one, and so are the dtypes.
    """
    try:
        return _meta(function, args, kwargs)
    except (RuntimeError, NotImplementedError):
        for other in (torch.bfloat16, torch.float32):
            with suppress(RuntimeError, NotImplementedError):
                return _meta(
                    function, recast(args, other), {key: recast(value, other) for key, value in kwargs.items()}
                )
        raise


def _meta(function: Any, args: Any, kwargs: Any) -> tuple[tuple[Strided, ...], tuple[int, ...]]:
    named = {k: _on_meta(v) for k, v in kwargs.items()}
    with torch.no_grad():
        result = function(*[_on_meta(a) for a in args], **named)
    made = tuple((spec_of(t), stride(str(function), args, i, t)) for i, t in enumerate(results(result)))
    return made, holes(result)


def _on_meta(arg: Any) -> Any:
    if isinstance(arg, Abstract):
        return torch.empty_strided(arg.shape, arg.stride(), dtype=arg.dtype, device="meta")
    if isinstance(arg, (list, tuple)):
        return [_on_meta(item) for item in arg]
    return torch.device("meta") if isinstance(arg, torch.device) else arg


def _key(arg: Any) -> Any:
    kind = type(arg)
    if kind is Abstract:
        return (arg.shape, arg.stride(), arg.dtype, arg.held)
    if kind is tuple or kind is list:
        return tuple([_key(item) for item in arg])
    return (kind, arg)
