"""What one call yields: shapes from the meta kernel, dtypes and refusals from the real one, repaired if refused."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import count
from typing import Any, Final

import torch

from analyzer import oracle
from analyzer.capture.assumed_values import plausible
from analyzer.capture.refusals import replay
from analyzer.capture.strides.results import forms
from analyzer.capture.tensor import Abstract, computing, dtype_name, small, spec_of
from analyzer.capture.tracing.autograd import in_backward
from analyzer.capture.tracing.signature import Signature, argument
from analyzer.ir import walk
from analyzer.ir.graph import DtypeArg, Spec
from analyzer.ir.witness import CPU, Witness
from analyzer.oracle import absent_dtypes

Strided = tuple[Spec, tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class Outcome:
    """Outputs (spec and stride in elements) of a call; `refused` and `repair` as in a graph node."""

    outputs: tuple[Strided, ...]
    refused: str = ""
    repair: str = ""
    odd: tuple[int, ...] = ()
    """Positions, among all operands, of those that the repair casts; empty where it is every float."""
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

    def ran(self, sig: Signature, args: tuple[Any, ...], kwargs: dict[str, Any], outcome: Outcome) -> Outcome:
        """The outcome of a call that was run on known values: refused where the device is known to lack its kernel."""
        gives = tuple([spec.dtype for spec, _ in outcome.outputs])
        missing = self.lacks(sig, args, kwargs, gives)
        if missing is None or not gives:
            return outcome
        outputs = self._held(outcome.outputs)
        return replace(
            outcome, outputs=outputs, refused=missing.message, repair=outputs[0][0].dtype, asked=missing.asked
        )

    def beyond_cpu(self, sig: Signature, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
        """Whether a call cannot be run here, as only the plan's device has its kernel."""
        if not oracle.may_lack(sig.op, self.device):
            return False
        return oracle.beyond_cpu(sig.op, as_specs(args), _named(kwargs), self.device)

    def lacks(
        self, sig: Signature, args: tuple[Any, ...], kwargs: dict[str, Any], gives: tuple[str, ...] = ()
    ) -> oracle.Refused | None:
        """The refusal of the device, where it is known to lack the kernel of a call, or a dtype that it gives."""
        if not oracle.may_lack(sig.op, self.device):
            return None
        return oracle.lacked(sig.op, as_specs(args), _named(kwargs), gives, self.device)

    def _held(self, outputs: tuple[Strided, ...]) -> tuple[Strided, ...]:
        """Outputs in dtypes that the device has."""
        return tuple((replace(spec, dtype=absent_dtypes.held(self.device, spec.dtype)), at) for spec, at in outputs)

    def _work_out(
        self, function: Any, sig: Signature, args: tuple[Any, ...], kwargs: dict[str, Any], home: str
    ) -> Outcome:
        answer = self._answer(function, sig, args, kwargs)
        if isinstance(answer, oracle.Refused) and not answer.gap:
            return self._repaired(function, sig, args, kwargs, answer, home)
        if isinstance(answer, oracle.Dtypes):
            outputs, absent = _shaped(function, args, kwargs)
            return Outcome(_in_dtypes(outputs, answer.names), absent=absent)
        outputs, absent = _meta(function, args, kwargs)
        if isinstance(answer, oracle.Unanswered):
            return Outcome(outputs, absent=absent)
        if self.device == "cpu":
            return Outcome(outputs, answer.message, absent=absent)
        return Outcome(outputs, gap=answer.message, absent=absent)

    def refuses(self, sig: Signature, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
        """Whether a call that failed for real did so for its dtypes: it runs in others."""
        answer = oracle.ask(sig.op, as_specs(args), _named(kwargs), self.device)
        return isinstance(answer, oracle.Refused) and not answer.gap

    def _answer(self, function: Any, sig: Signature, args: tuple[Any, ...], kwargs: dict[str, Any]) -> oracle.Answer:
        """The oracle's answer; where it was given on operands made for it, as this call's own confirm it.

        Raises RuntimeError if the kernel refuses the call and no dtype helps: it is the model's own error.
        """
        answer = oracle.ask(sig.op, as_specs(args), _named(kwargs), self.device)
        if isinstance(answer, oracle.Refused) and answer.confirm:
            said = replay.raised((function, args, kwargs))
            return replace(answer, message=said) if said else _RUNS
        unclear = isinstance(answer, oracle.Unanswered) and answer.refused
        ours = unclear or (isinstance(answer, oracle.Dtypes) and _overlaps(sig, args, kwargs))
        if ours and function.namespace == "aten" and (said := replay.raised((function, args, kwargs))):
            raise RuntimeError(said)
        return answer

    def _repaired(
        self, function: Any, sig: Signature, args: tuple[Any, ...], kwargs: dict[str, Any], answer: oracle.Refused,
        home: str,
    ) -> Outcome:  # fmt: skip
        if answer.changes:
            outcome = _in_other_kinds(function, sig, args, kwargs, answer)
            return replace(outcome, outputs=self._held(outcome.outputs))
        on_cpu = oracle.ask(sig.op, as_specs(args), _named(kwargs))
        if isinstance(on_cpu, oracle.Dtypes) and on_cpu.names:  # what it gives starts no cascade
            repair = getattr(torch, absent_dtypes.held(self.device, on_cpu.names[0]))
        else:
            repair = repair_dtype(sig, args, kwargs, home)
        outputs, absent = _meta(function, recast(args, repair), recast(kwargs, repair))
        told = dtype_name(repair) if in_backward() else home or dtype_name(repair)
        return Outcome(self._held(outputs), answer.message, told, asked=answer.asked, absent=absent)


_RUNS: Final = oracle.Unanswered("it runs in the layout and with the integers that its operands have")


def _overlaps(sig: Signature, args: Any, kwargs: Any) -> bool:
    """Whether a call writes into a tensor that was expanded, whose elements share memory."""
    written = (t for index in sig.written for t in tensors(argument(sig, index, args, kwargs)))
    return any(n > 1 and step == 0 for t in written for n, step in zip(t.shape, t.stride(), strict=True))


def _in_other_kinds(function: Any, sig: Signature, args: Any, kwargs: Any, answer: oracle.Refused) -> Outcome:
    """The outcome of a call that is refused until some of its operands are of another kind."""
    change = dict(answer.changes)
    args, kwargs = changed(args, kwargs, change)
    outputs, absent = _shaped_or_run(function, args, kwargs)
    given = oracle.ask(sig.op, as_specs(args), _named(kwargs))
    if isinstance(given, oracle.Dtypes):
        outputs = _in_dtypes(outputs, given.names)
    return Outcome(
        outputs, answer.message, next(iter(change.values())), tuple(change), asked=answer.asked, absent=absent
    )


def _shaped_or_run(function: Any, args: Any, kwargs: Any) -> tuple[tuple[Strided, ...], tuple[int, ...]]:
    """As `_meta`; of an operation whose shape depends on values, run on plausible ones."""
    try:
        return _meta(function, args, kwargs)
    except oracle.META_ERRORS:
        values, named = walk.changed((args, kwargs), Abstract, plausible, into=list)
        with torch.no_grad(), torch._C._DisableTorchDispatch():
            result = function(*values, **named)
        return tuple([(spec_of(t), t.stride()) for t in results(result)]), holes(result)


def _named(kwargs: dict[str, Any]) -> tuple[tuple[str, Any], ...]:
    return tuple([(k, as_specs(v)) for k, v in kwargs.items()])


def as_specs(arg: Any) -> Any:
    """An argument as the oracle wants it: tensors as specs, dtypes by name, no devices or layouts."""
    return walk.changed(arg, object, _as_spec, into=tuple)


def _as_spec(end: Any) -> Any:
    if isinstance(end, torch.Tensor):
        return spec_of(end)
    if type(end) is torch.dtype:
        return DtypeArg(dtype_name(end))
    return end if type(end) in (int, float, bool, str, complex) else None


def tensors(arg: Any) -> Iterator[Abstract]:
    """Every abstract tensor inside an argument, depth first.

    Hot: 0.7 us for each of 2,500 calls in 8 Llama layers (55 ms); `walk.leaves` would add 0.5 % to a capture.
    """
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
    return list(walk.leaves(result, torch.Tensor))


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


def recast(arg: Any, dtype: torch.dtype) -> Any:
    """The argument with every float tensor in `dtype`, making no node."""

    def other(tensor: Abstract) -> Abstract:
        return tensor.like(dtype) if tensor.dtype.is_floating_point and tensor.dtype != dtype else tensor

    return walk.changed(arg, Abstract, other)


def changed(args: Any, kwargs: Any, change: Mapping[int, str]) -> tuple[Any, Any]:
    """A call's arguments with some of its tensors, by their position among all of them, cast without a node."""
    positions = count()

    def other(tensor: Abstract) -> Abstract:
        dtype = change.get(next(positions))
        return _cast(tensor, getattr(torch, dtype)) if dtype else tensor

    made: tuple[Any, Any] = walk.changed((args, kwargs), Abstract, other)
    return made


def _cast(tensor: Abstract, dtype: torch.dtype) -> Abstract:
    """The same operand in another dtype; what it would hold is that of a likely one, since floats are ones."""
    made = tensor.like(dtype)
    if made.known is None and small(tensor) and not (dtype.is_floating_point or dtype.is_complex):
        with torch._C._DisableTorchDispatch():
            made.guess = made.cell.version, plausible(tensor).to(dtype)
    return made


def _in_dtypes(outputs: tuple[Strided, ...], dtypes: tuple[str, ...]) -> tuple[Strided, ...]:
    """The outputs in the dtypes that the kernel gave, where these are as many."""
    if len(dtypes) != len(outputs):
        return outputs
    return tuple((replace(spec, dtype=dtype), at) for (spec, at), dtype in zip(outputs, dtypes, strict=True))


def _shaped(function: Any, args: Any, kwargs: Any) -> tuple[tuple[Strided, ...], tuple[int, ...]]:
    """As `_meta`, also where the meta kernel takes fewer dtypes than the real one, as that of `_grouped_mm` does.

    Shapes do not depend on a float's dtype: they are those of a call in another one, and so are the dtypes.
    """
    try:
        return _meta(function, args, kwargs)
    except oracle.META_ERRORS:
        for other in (torch.bfloat16, torch.float32):
            with suppress(*oracle.META_ERRORS):
                return _meta(function, recast(args, other), recast(kwargs, other))
        raise


def _meta(function: Any, args: Any, kwargs: Any) -> tuple[tuple[Strided, ...], tuple[int, ...]]:
    given, named = on_meta(args), on_meta(kwargs)
    with torch.no_grad():
        result = function(*given, **named)
    found = results(result)
    laid_out = zip(found, forms(function, args, kwargs, found), strict=True)
    made = tuple((Spec(dtype_name(t.dtype), shape), stride) for t, (shape, stride) in laid_out)
    return made, holes(result)


def on_meta(arg: Any) -> Any:
    """An argument with its abstract tensors, and its devices, on the meta device."""
    return walk.changed(arg, object, _on_meta, into=list)


def _on_meta(end: Any) -> Any:
    if isinstance(end, Abstract):
        return torch.empty_strided(end.shape, end.stride(), dtype=end.dtype, device="meta")
    return torch.device("meta") if isinstance(end, torch.device) else end


def _key(arg: Any) -> Any:
    """Hot: 1.4 us for each of 660 calls in 8 Llama layers (55 ms); `walk.key` would add 0.6 % to a capture."""
    kind = type(arg)
    if kind is Abstract:
        return (arg.shape, arg.stride(), arg.dtype, arg.held)
    if kind is tuple or kind is list:
        return tuple([_key(item) for item in arg])
    return (kind, arg)
