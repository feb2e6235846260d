"""One capture: puts abstract tensors into the module, runs it, and puts everything back."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import nn

from analyzer.capture import Captured, Loaded, Stop
from analyzer.capture.assumed_values import Inventions
from analyzer.capture.autocast.dispatch import Autocast, home
from analyzer.capture.autocast.scope import covered, named
from analyzer.capture.calls.function_calls import Calls
from analyzer.capture.calls.module_calls import ModuleCalls
from analyzer.capture.emulation.compiled import uncompiled
from analyzer.capture.emulation.inference_mode import unmarked
from analyzer.capture.emulation.weight_files import unread
from analyzer.capture.module_inventory import inventory_of
from analyzer.capture.patching import patched
from analyzer.capture.source_lines import SourceLines
from analyzer.capture.tensor import Abstract
from analyzer.capture.tracing.outcomes import Kernels
from analyzer.capture.tracing.recorder import Recorder
from analyzer.capture.tracing.tracer import Tracer
from analyzer.capture.wrapper_subclasses import held, rebuilt
from analyzer.errors import AnalyzerError, Interrupted
from analyzer.ir import walk
from analyzer.ir.findings import Assumption, Coverage
from analyzer.ir.graph import NOWHERE, Place, Ref
from analyzer.ir.literal_types import HeldKind
from analyzer.ir.plan import Plan
from analyzer.ir.reason import UNKNOWN, Reason
from analyzer.ir.steps import FORWARD, Step
from analyzer.running.module_state import restored
from analyzer.running.never_entered import never_entered, not_reached
from analyzer.running.output_tensors import leaves
from analyzer.running.process_state import changes, left_by_loading, settings
from analyzer.running.session import Session, variant
from analyzer.running.sharded import refuse_sharded
from analyzer.running.stops import mark
from analyzer.running.training_step import Run, step, training
from analyzer.running.wrapping import wrapped


def capture(loaded: Loaded, plan: Plan, *, guessing: bool = False, recorder: Recorder | None = None) -> Captured:
    """Run the model without weights and record every operation, up to where the model's own code stops, if it does.

    A `recorder` of the caller's may end the run with an exception of its own, which is raised.

    Raises AnalyzerError for a plan that this model cannot have, and for a model that FSDP has wrapped.
    """
    refuse_sharded(loaded.module)
    captured = _capture(loaded, plan, guessing, recorder)
    if captured.stop is None or captured.stop.interrupted or not loaded.spare:
        return captured
    names = ", ".join(loaded.spare)
    note = Assumption("the loss", f"the mean of the outputs: the model does not take the {names} made up for it")
    inputs = {name: value for name, value in loaded.inputs.items() if name not in loaded.spare}
    again = _capture(replace(loaded, inputs=inputs, spare=(), assumptions=(*loaded.assumptions, note)), plan, guessing)
    return captured if again.stop and again.coverage.ops <= captured.coverage.ops else again


def _capture(loaded: Loaded, plan: Plan, guessing: bool, own: Recorder | None = None) -> Captured:
    Abstract.running += 1
    recorder, inventions = own or Recorder(), Inventions()
    places = SourceLines(loaded.module, loaded.root)
    places.until = _capture.__code__
    tracer = Tracer(recorder, Kernels(plan.device), places, inventions)
    tracer.module_dtypes.parts = loaded.parts
    tracer.mends_kinds = not guessing
    calls, autocast = Calls(tracer, places, inventions), Autocast(home(plan), tracer)
    module_calls = ModuleCalls(tracer, calls.following)
    result: Any = None
    stop: Stop | None = None
    recorder.graph.left.extend(left_by_loading())
    with restored(loaded.module), _swapped(loaded, tracer), unmarked(), uncompiled(), unread():
        inputs = _abstract_inputs(loaded.inputs, recorder)
        run = loaded.run or _forward
        mode: Callable[[], AbstractContextManager[Any]] = torch.no_grad
        if plan.train:
            run = step(run, tracer)
            mode = partial(training, loaded.module, inputs, tracer)
        if loaded.steps:
            run, inputs = _session(loaded, run if plan.train else loaded.run, inputs, tracer)
        try:
            below = covered(plan, loaded.module, tracer.inserting, partial(named, tracer))
            around = wrapped(plan, loaded.module, loaded.inventory, tracer)
            watched = module_calls.watched()
            left = _left(recorder, places)
            with mode(), tracer.passes.engine(calls), autocast.around(), calls, tracer, watched, below, around, left:
                if _is_bare(loaded.module):  # a function alone, whose own code may refuse as a module's does
                    result = module_calls.call(loaded.name, loaded.module, partial(run, loaded.module), (inputs,), {})
                else:
                    result = run(loaded.module, inputs)
        except AnalyzerError:
            raise
        except (Exception, Interrupted) as error:
            stop = mark(error, tracer, loaded, train=plan.train, told_of=calls.following.last)
    recorder.graph.outputs.extend(_ref(part, recorder) for tensor in leaves(result) for part in held(tensor))
    return Captured(recorder.graph, _coverage(loaded, recorder, inventions, stop), stop, recorder.layouts)


@contextmanager
def _left(recorder: Recorder, places: SourceLines) -> Iterator[None]:
    """Note what the run leaves changed for the whole process."""
    before, set_default_dtype = settings(), torch.set_default_dtype
    last = [NOWHERE]

    def noted(dtype: torch.dtype) -> None:
        last[0] = places.here()[0]
        set_default_dtype(dtype)

    try:
        with patched(torch, "set_default_dtype", noted, why="The report names the line that left another default."):
            yield
    finally:
        recorder.graph.left.extend(changes(before, place=last[0]))


def _session(loaded: Loaded, run: Run | None, inputs: dict[str, object], tracer: Tracer) -> tuple[Run, dict[str, Any]]:
    """What makes the calls of all steps, and its inputs: those of every step, by label."""
    given = {}
    for one in loaded.steps:
        changed = variant(loaded.inputs, one)
        given[one.label] = inputs if changed is loaded.inputs else _abstract_inputs(changed, tracer.recorder)
    noted = partial(tracer.inventions.note, place=NOWHERE)
    return Session(loaded.steps, run, tracer.passes.begin, noted), given


def _coverage(loaded: Loaded, recorder: Recorder, inventions: Inventions, stop: Stop | None) -> Coverage:
    ops = sum(1 for _ in recorder.graph.ops())
    assumptions: tuple[Assumption, ...] = tuple(sorted({*loaded.assumptions, *inventions.all()}))
    missed = never_entered(recorder.graph, loaded.inventory) if ops else ()
    return Coverage(ops, assumptions, _incomplete(stop, not_reached(missed, stop.module)) if stop else "", missed)


def _incomplete(stop: Stop, left_out: str) -> str:
    hint = f" ({stop.hint})" if stop.hint else ""
    return f"{stop.words}; not reached: {left_out}{hint}"


def from_callable(
    target: Callable[..., object],
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any] | None,
    steps: tuple[Step, ...] = (),
) -> Loaded:
    """A module or any function of tensors, with example arguments, as something to capture.

    Raises AnalyzerError if steps need more than a call: prefill and decode a module, sizes arguments by name.
    """
    module = target if isinstance(target, nn.Module) else nn.Module()

    def run(given: nn.Module, inputs: dict[str, Any]) -> Any:  # a copy of the module may be given
        return (given if module is target else target)(*inputs["args"], **inputs["kwargs"])

    run.__wrapped__ = target  # type: ignore[attr-defined]
    name = type(target).__name__ if isinstance(target, nn.Module) else getattr(target, "__name__", str(target))
    if any(step.kind != FORWARD for step in steps):
        if module is not target:
            raise AnalyzerError("a bare function can only be called again", hint="such as steps='forward,forward'")
        named = inspect.signature(module.forward).bind_partial(*args).arguments
        return Loaded(module, name, "", {**named, **(kwargs or {})}, steps=steps, inventory=inventory_of(module))
    inputs = {"args": tuple(args), "kwargs": dict(kwargs or {})}
    return Loaded(module, name, "", inputs, run, steps=steps, inventory=inventory_of(module))


def _is_bare(module: nn.Module) -> bool:
    return not any(True for _ in module.children()) and not any(True for _ in module.parameters())


def _forward(module: nn.Module, inputs: dict[str, object]) -> Any:
    return module(**inputs)


@contextmanager
def _swapped(loaded: Loaded, tracer: Tracer) -> Iterator[None]:
    """Put an abstract tensor in the place of every parameter and buffer; tied ones stay one."""
    made: dict[int, Any] = {}
    undo: list[tuple[dict[str, Any], str, Any]] = []
    for path, module in loaded.module.named_modules():
        holders: tuple[tuple[HeldKind, dict[str, Any]], ...] = (
            ("parameter", module._parameters),
            ("buffer", module._buffers),
        )
        for kind, holder in holders:
            for key, tensor in holder.items():
                if tensor is None:
                    continue
                name = f"{path}.{key}" if path else key
                if id(tensor) not in made:
                    place, reason = loaded.places.get(name, Place()), loaded.reasons.get(name, UNKNOWN)
                    stored = partial(_stored, tracer.recorder, kind, place, reason)
                    made[id(tensor)] = rebuilt(tensor, name, stored)
                undo.append((holder, key, tensor))
    tracer.lifted.update({id(t): (t, made[id(t)]) for _, _, t in undo})
    try:
        for holder, key, tensor in undo:
            holder[key] = made[id(tensor)]
        yield
    finally:
        for holder, key, tensor in undo:
            holder[key] = tensor


def _stored(
    recorder: Recorder, kind: HeldKind, place: Place, reason: Reason, tensor: torch.Tensor, name: str
) -> torch.Tensor:
    made: Any = recorder.stored(kind, name, tensor, known=kind == "buffer", place=place, reason=reason)
    for hook in (tensor._backward_hooks or {}).values():
        made.register_hook(hook)
    for after in (getattr(tensor, "_post_accumulate_grad_hooks", None) or {}).values():
        made.register_post_accumulate_grad_hook(after)
    return made  # type: ignore[no-any-return]


def _abstract_inputs(inputs: dict[str, object], recorder: Recorder) -> dict[str, Any]:
    """Inputs with their tensors abstract: floats unknown, integers and bools with their values."""

    def stored(tensor: torch.Tensor, name: str) -> Abstract:
        if tensor.is_nested:
            raise AnalyzerError(f"{name} is a nested tensor of the strided layout", hint="use layout=torch.jagged")
        known = not (tensor.dtype.is_floating_point or tensor.dtype.is_complex) and tensor.device.type == "cpu"
        return recorder.stored("input", name, tensor, known=known)

    def whole(tensor: torch.Tensor, path: walk.Path) -> torch.Tensor:
        return rebuilt(tensor, ".".join(map(str, path)), stored)

    made: dict[str, Any] = walk.changed_with_path(inputs, torch.Tensor, whole)
    return made


def _ref(tensor: torch.Tensor, recorder: Recorder) -> Ref:
    if isinstance(tensor, Abstract):
        return recorder.read(tensor)
    return recorder.stored("constant", "", tensor, known=True).ref
