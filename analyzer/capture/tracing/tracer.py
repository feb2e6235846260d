"""The dispatch mode that sees every aten operation: computes it abstractly or for real, and records it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from analyzer import oracle
from analyzer.capture.assumed_values import RANKED, Inventions, plausible
from analyzer.capture.refusals import handlers, replay, repro_script
from analyzer.capture.source_lines import SourceLines
from analyzer.capture.tensor import Abstract, Cell, grows, small, spec_of
from analyzer.capture.tracing.autograd import Passes
from analyzer.capture.tracing.knowable import assigned, can_be_known, counts, is_choice
from analyzer.capture.tracing.module_dtypes import ModuleDtypes
from analyzer.capture.tracing.outcomes import Kernels, Outcome, holes, results, tensors
from analyzer.capture.tracing.recorder import Recorder
from analyzer.capture.tracing.relocation import Lenders
from analyzer.capture.tracing.signature import VIEW, Signature, argument, ranked, signature
from analyzer.capture.tracing.site import ACCEPTED, Refusal
from analyzer.capture.tracing.special_ops import SPECIAL
from analyzer.capture.wrapper_subclasses import wraps
from analyzer.ir import walk
from analyzer.ir.graph import Place, Ref, Script, Spec
from analyzer.ir.literal_types import Inserter
from analyzer.oracle.operands import regular

_CPU = torch.device("cpu")
_MOST = 1 << 22
"""Elements up to which values are computed or made up: a map of a whole picture."""
_AUTOCAST = torch._C.DispatchKey.AutocastCPU
_CASTS = ("to_copy", "to")
TRIAL = 1000
"""Operations of one trial of other dtypes at most."""


class Tracer(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Records a run as a ModelGraph. What depends on no weight and no float input is computed for real (D2)."""

    def __init__(self, recorder: Recorder, kernels: Kernels, places: SourceLines, inventions: Inventions) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.recorder, self.kernels, self.source_lines, self.inventions = recorder, kernels, places, inventions
        self.module_dtypes = ModuleDtypes(recorder.graph)
        self.passes = Passes(places)
        self.lenders = Lenders()
        self.call = ""
        self.calling: repro_script.Call | None = None
        """The call that `call` names, as the person made it."""
        self._refused: repro_script.Call | None = None
        """The last call in which a kernel refused."""
        self.failed: tuple[BaseException | None, str, Any] = None, "", ()
        """The last error that came out of a call, the call's name and what it was given."""
        self.strict = False
        """A refused kernel raises: whether a call runs in other dtypes is being tried."""
        self.mends_kinds = True
        """Calls that are refused for operands of another kind are repaired; else they raise, as inputs are guessed."""
        self._left = 0
        self._caught: BaseException | None = None
        """The last error that the model catches itself."""
        self.of_values: BaseException | None = None
        """The last error of a call that other integers would mend, which no other dtype should."""
        self.inserted: Inserter = ""
        self.lifted: dict[int, tuple[torch.Tensor, Abstract]] = {}

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # True would import torch._dynamo at the first operation: a second, and 100 MB

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run one operation abstractly or for real, and record it; whatever autocast does was done before."""
        for kind in types:
            if kind is not Abstract and wraps(kind):
                return NotImplemented  # it calls again with what it holds
        with torch._C.DisableTorchFunction():  # what this does itself is no call that a person wrote
            if torch._C._dispatch_tls_is_dispatch_key_excluded(_AUTOCAST):
                return self._operation(func, args, kwargs)
            with torch._C._ExcludeDispatchKeyGuard(torch._C.DispatchKeySet(_AUTOCAST)):
                return self._operation(func, args, kwargs)

    @contextmanager
    def inserting(self, who: Inserter) -> Iterator[None]:
        """While this lasts, casts say that `who` inserted them; "" is nobody."""
        outer, self.inserted = self.inserted, who
        try:
            yield
        finally:
            self.inserted = outer

    @contextmanager
    def named(self, call: str) -> Iterator[None]:
        """While this lasts, operations belong to a call of this name."""
        outer, self.call, self.calling = (self.call, self.calling), call, None
        try:
            yield
        finally:
            self.call, self.calling = outer

    @contextmanager
    def trial(self) -> Iterator[None]:
        """While this lasts, no refused kernel is repaired, and nothing is recorded."""
        self.strict, self._left, failed = True, TRIAL, self.failed
        try:
            with self.recorder.muted():
                yield
        finally:
            self.strict, self.failed = False, failed

    def _operation(self, func: Any, args: Any, kwargs: Any) -> Any:
        if self.strict:
            self._spend()
        sig = signature(func)
        args = tuple([self.lift(a) for a in args])
        kwargs = {k: _CPU if k == "device" else self.lift(v) for k, v in kwargs.items()} if kwargs else {}
        special = SPECIAL.get(sig.op)
        if special is not None:
            done, result = special(self, func, args, kwargs)
            if done:
                return result
            args = result
        operands = list(tensors((args, kwargs)))
        if not operands and not sig.gives_tensors:  # the profiler's marks, which optimizers make
            return func(*args, **kwargs)
        if can_be_known(sig, operands) and not self.kernels.beyond_cpu(sig, args, kwargs):
            done, result = self._really_or_refused(func, sig, args, kwargs)
            if done:
                return self.realised(sig, args, kwargs, operands, result)
        for index in sig.written:
            for target in tensors(argument(sig, index, args, kwargs)):
                if sig.forms:
                    target.value = None
                else:
                    target.cell.known = False
        return self._abstractly(func, sig, args, kwargs, operands)

    def _spend(self) -> None:
        self._left -= 1
        if self._left < 0:
            raise RuntimeError("the trial takes too many operations")

    def _really_or_refused(self, func: Any, sig: Signature, args: Any, kwargs: Any) -> tuple[bool, Any]:
        """As `_really`; not done if the kernel refuses these dtypes, so that the call is repaired."""
        try:
            return self._really(func, args, kwargs)
        except oracle.KERNEL_ERRORS:
            if not self.mends_kinds or not self.kernels.refuses(sig, args, kwargs):
                raise
            return False, None

    def realised(self, sig: Signature, args: Any, kwargs: Any, operands: list[Abstract], result: Any) -> Any:
        """Record an operation whose real result is known."""
        outcome = self.kernels.ran(sig, args, kwargs, _seen(result))
        real = results(result)
        if outcome.refused:
            self._let_go(outcome)
            real = [t.to(getattr(torch, s.dtype)) for t, (s, _) in zip(real, outcome.outputs, strict=True)]
        return self._finish(sig, args, kwargs, operands, outcome, real, self._again(outcome, sig, args, kwargs))

    def _again(self, outcome: Outcome, sig: Signature, args: Any, kwargs: Any) -> Script | None:
        if not outcome.refused:
            return None
        written = (self.calling,) if self.calling else ()
        return repro_script.write(outcome.refused, (*written, (oracle.overload(sig.op), args, kwargs)))

    def home(self, operands: list[Abstract]) -> str:
        """The dtype at home where the call is made; "" if that cannot be told."""
        return self.module_dtypes.dtype(self.source_lines.here()[1], operands)

    def lift(self, arg: Any) -> Any:
        """The argument with every plain tensor replaced by the abstract one that stands for it.

        Hot: 0.3 us for each of 1,300 arguments of 8 Llama layers (55 ms); `walk.changed` would add 4 % to a capture.
        """
        kind = type(arg)
        if kind is Abstract and arg.capture == Abstract.running:
            return arg
        if isinstance(arg, torch.Tensor):
            held = self.lifted.get(id(arg))
            if held is None:
                plain = arg.known if isinstance(arg, Abstract) else arg  # it was kept from an earlier capture
                value, known, place = arg if plain is None else plain, plain is not None, self.source_lines.here()[0]
                number = assigned(self.call, self.calling, arg)
                made = self.recorder.stored("constant", "", value, known=known, place=place, number=number)
                held = self.lifted[id(arg)] = (arg, made)
            return held[1]
        return kind([self.lift(item) for item in arg]) if kind is list or kind is tuple else arg

    def _really(self, func: Any, args: Any, kwargs: Any) -> tuple[bool, Any]:
        made = list(tensors((args, kwargs)))
        if ("device" in kwargs and not made) or grows(made, args, _MOST):
            sizes = {id(t): torch.empty_like(plausible(t), device="meta") for t in made}
            with suppress(RuntimeError):  # on meta, of what depends on values
                makes = not made and "device" in signature(func).names
                where = {"device": torch.device("meta")} if makes or "device" in kwargs else {}
                shapes = func(*_values(args, sizes), **{k: _values(v, sizes) for k, v in kwargs.items()} | where)
                if any(not small(t) if not made else t.numel() > _MOST for t in results(shapes)):
                    return False, None
        return True, func(*_values(args), **{k: _values(v) for k, v in kwargs.items()})

    def _abstractly(self, func: Any, sig: Signature, args: Any, kwargs: Any, operands: list[Abstract]) -> Any:
        try:
            outcome = self.kernels.outcome(func, sig, args, kwargs, lambda: self.home(operands))
        except oracle.META_ERRORS as error:
            if not operands or any(t.numel() > _MOST for t in operands):
                raise
            lacks = self.kernels.lacks(sig, args, kwargs)
            if lacks is None and (said := replay.raised((func, args, kwargs))):
                raise RuntimeError(said) from error
            return self._invented(func, sig, args, kwargs, operands, lacks is not None)
        if outcome.refused:
            self._let_go(outcome)
            outcome = replace(outcome, refused=self._words(outcome))
        again = self._again(outcome, sig, args, kwargs)
        result = self._finish(sig, args, kwargs, operands, outcome, again=again)
        if operands and not (sig.random or outcome.refused) and counts(operands, result):
            self._guess(result, func, args, kwargs, operands)
        return result

    def _let_go(self, outcome: Outcome) -> None:
        """Raises a refusal that is not repaired: in a trial, while inputs are guessed, or if the model catches it."""
        error = RuntimeError(outcome.refused)
        if self.strict or (outcome.odd and not self.mends_kinds) or self.is_caught(error):
            raise error

    def is_caught(self, error: BaseException) -> bool:
        """Whether the model catches an error and goes on, which is noted."""
        if error is self._caught:  # an operation told it to the call around it
            return True
        if not handlers.survived(error, sys._getframe(1), self.source_lines.until):
            return False
        self._caught = error
        words, place = oracle.words(error), self.source_lines.here()[0]
        self.inventions.note("a refused call that the model's own code catches", words, place)
        return True

    def _words(self, outcome: Outcome) -> str:
        """The words that a person will see; the whole call has but one error, its first."""
        call, ours = self.calling, outcome.asked.was_asked
        if call is None or call is self._refused or not ours or torch._C._current_autograd_node() is not None:
            return outcome.refused
        self._refused = call
        return replay.words(outcome.refused, call)

    def _guess(self, result: Any, func: Any, args: Any, kwargs: Any, operands: list[Abstract]) -> None:
        """What masks and counts would be if floats were ones: `(variance < 0).any()` then goes the usual way."""
        made = {id(t): plausible(t).clone() for t in operands}  # as some are written to
        with suppress(RuntimeError):
            real = results(func(*_values(args, made), **{k: _values(v, made) for k, v in kwargs.items()}))
            for tensor, value in zip(tensors(result), real, strict=True):
                tensor.guess = (tensor.cell.version, value)

    def _invented(
        self, func: Any, sig: Signature, args: Any, kwargs: Any, operands: list[Abstract], wide: bool
    ) -> Any:  # fmt: skip
        """A shape that depends on unknown values: run on plausible ones; integers of the result stay known."""
        place = self.source_lines.here()[0]
        made = {id(t): self.inventions.value(t, place) for t in operands}
        if wide:  # the CPU may lack it as well: only shapes are wanted
            made = {key: value.float() if value.is_floating_point() else value for key, value in made.items()}
        try:
            result = func(*_values(args, made), **{k: _values(v, made) for k, v in kwargs.items()})
        except RuntimeError:  # of matrices of ones, such as a Cholesky factor
            made = {key: regular(value) for key, value in made.items()}
            result = func(*_values(args, made), **{k: _values(v, made) for k, v in kwargs.items()})
        found = results(result)
        reals = found if all(not t.dtype.is_floating_point for t in found) else None
        outcome = self.kernels.ran(sig, args, kwargs, _seen(result))
        return self._finish(sig, args, kwargs, operands, outcome, reals, self._again(outcome, sig, args, kwargs))

    def _finish(
        self, sig: Signature, args: Any, kwargs: Any, operands: list[Abstract], outcome: Outcome,
        real: list[Any] | None = None, again: Script | None = None,
    ) -> Any:  # fmt: skip
        site = self.passes.site(self.call)
        if outcome.gap:
            self.inventions.note("a kernel that the CPU lacks", outcome.gap, site.place)
        refusal = ACCEPTED
        if outcome.refused:
            refusal = Refusal(outcome.refused, outcome.repair, outcome.odd, again, self.source_lines.callers())
        written = [(i, t) for i in sig.written for t in tensors(argument(sig, i, args, kwargs))]
        specs: tuple[Spec, ...] = tuple(s for s, _ in outcome.outputs)
        if not sig.returns:  # as `_foreach_add_`: what it wrote stands for what it gives
            specs = tuple(spec_of(t) for _, t in written)
        inserted: Inserter = self.inserted if sig.base in _CASTS else ""
        node_id = self.recorder.op(sig.base, sig.op, args, kwargs, specs, site, refusal, inserted)
        made = self._made(sig, args, kwargs, operands, outcome, real, node_id, site.place)
        note = self.recorder.formed if sig.forms else self.recorder.wrote
        for number, (index, target) in enumerate(written):
            note(target, Ref(node_id, _position(sig, index) if sig.returns else number))
        self.recorder.lie(node_id, tensors(made) if sig.returns else [t for _, t in written])
        return _returned(sig, made)

    def _made(
        self, sig: Signature, args: Any, kwargs: Any, operands: list[Abstract], outcome: Outcome,
        real: list[Any] | None, node_id: str, place: Place,
    ) -> list[Any]:  # fmt: skip
        """What the operation returns, in order: new abstract tensors, operands that it wrote into, and None."""
        made: list[Any] = []
        for index, (spec, stride) in enumerate(outcome.outputs):
            while len(made) in outcome.absent:
                made.append(None)
            how = sig.returns[0 if sig.many else min(len(made), len(sig.returns) - 1)]
            if type(how) is int:
                target = argument(sig, how, args, kwargs)
                if spec.shape != target.shape or stride != target.stride():
                    target.take_form(spec.shape, stride)
                made.append(target)
                continue
            value = real[index] if real is not None else None
            shares = how == VIEW and bool(operands)
            cell = operands[0].cell if shares else Cell(known=value is not None)
            tensor = Abstract.make(spec, stride, Ref(node_id, index), cell, value)
            tensor.held = shares and operands[0].held
            if value is None and sig.base in RANKED and operands and is_choice(sig, index, spec):
                self._rank(tensor, ranked(sig, args, kwargs), operands, place)
            made.append(tensor)
        return made

    def _rank(self, tensor: Abstract, dim: int | None, operands: list[Abstract], place: Place) -> None:
        shape = operands[0].shape
        choices = operands[0].numel() if dim is None or not shape else shape[dim]
        tensor.value = self.inventions.ranking(tensor, int(choices), dim, place)
        tensor.cell.known = tensor.value is not None


def _returned(sig: Signature, made: list[Any]) -> Any:
    """What was made as the operation gives it: alone, as a list, or as a tuple with None for what is absent."""
    if sig.many:
        return made
    made += [None] * (len(sig.returns) - len(made))
    return (made[0] if made else None) if len(sig.returns) <= 1 else tuple(made)


def _seen(result: Any) -> Outcome:
    return Outcome(tuple([(spec_of(t), t.stride()) for t in results(result)]), absent=holes(result))


def _values(arg: Any, made: dict[int, Any] | None = None) -> Any:
    return walk.changed(arg, Abstract, lambda tensor: made[id(tensor)] if made else tensor.known, into=list)


def _position(sig: Signature, index: int) -> int:
    return sig.returns.index(index) if index in sig.returns else 0
