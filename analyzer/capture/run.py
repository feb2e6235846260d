"""One capture: puts abstract tensors into the module, runs it, and puts everything back."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import nn

from analyzer.capture import Captured, Loaded
from analyzer.capture.abstract import Abstract
from analyzer.capture.autocast import Autocast, home
from analyzer.capture.calls import Calls
from analyzer.capture.holding import take
from analyzer.capture.invent import Inventions
from analyzer.capture.kernels import Kernels
from analyzer.capture.outputs import leaves
from analyzer.capture.places import Places
from analyzer.capture.recorder import Recorder
from analyzer.capture.scope import covered
from analyzer.capture.tracer import Tracer
from analyzer.capture.training import step, training
from analyzer.capture.wrapping import wrapped
from analyzer.errors import AnalyzerError
from analyzer.findings import Assumption, Coverage
from analyzer.graph import Place, Ref
from analyzer.plan import Plan


def capture(loaded: Loaded, plan: Plan) -> Captured:
    """Run the model without weights and record every operation.

    Raises AnalyzerError when the model's own code stops, with its error and source line.
    """
    try:
        return _capture(loaded, plan)
    except AnalyzerError:
        if not loaded.spare:
            raise
    names = ", ".join(loaded.spare)
    note = Assumption("the loss", f"the mean of the outputs: the model does not take the {names} made up for it")
    inputs = {name: value for name, value in loaded.inputs.items() if name not in loaded.spare}
    return _capture(replace(loaded, inputs=inputs, spare=(), assumptions=(*loaded.assumptions, note)), plan)


def _capture(loaded: Loaded, plan: Plan) -> Captured:
    Abstract.running += 1
    recorder, inventions = Recorder(), Inventions()
    places = Places(loaded.module, loaded.root)
    tracer = Tracer(recorder, Kernels(plan.device), places, inventions)
    calls, autocast = Calls(tracer, places, inventions), Autocast(home(plan), tracer)
    with _swapped(loaded, tracer):
        inputs = _abstract_inputs(loaded.inputs, "", recorder)
        run = loaded.run or _forward
        mode: Callable[[], AbstractContextManager[Any]] = torch.no_grad
        if plan.train:
            run = step(run, tracer)
            mode = partial(training, loaded.module, inputs, tracer)
        try:
            below = covered(plan, loaded.module, tracer)
            around = wrapped(plan, loaded.module, loaded.inventory, tracer)
            with mode(), tracer.passes.engine(calls), autocast.around(), calls, tracer, below, around:
                result = run(loaded.module, inputs)
        except AnalyzerError:
            raise
        except Exception as error:
            place = places.of_error(error)
            words = f"the model stopped with {type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
            untrained = not plan.train and "does not require grad" in str(error)
            hint = "a backward pass needs --train" if untrained else "check the inputs (--inputs FILE)"
            raise AnalyzerError(f"{words} at {str(place) or 'an unknown line'}", hint=hint) from error
    recorder.graph.outputs.extend(_ref(tensor, recorder) for tensor in leaves(result))
    ops = sum(1 for _ in recorder.graph.ops())
    assumptions: tuple[Assumption, ...] = tuple(sorted({*loaded.assumptions, *inventions.all()}))
    return Captured(recorder.graph, Coverage(ops, assumptions))


def from_callable(target: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any] | None) -> Loaded:
    """A module or any function of tensors, with example arguments, as something to capture."""
    module = target if isinstance(target, nn.Module) else nn.Module()
    call = target

    def run(_: nn.Module, inputs: dict[str, Any]) -> Any:
        return call(*inputs["args"], **inputs["kwargs"])

    name = type(target).__name__ if isinstance(target, nn.Module) else getattr(target, "__name__", str(target))
    inputs = {"args": tuple(args), "kwargs": dict(kwargs or {})}
    return Loaded(module, name, "", inputs, run, inventory=take(module))


def _forward(module: nn.Module, inputs: dict[str, Any]) -> Any:
    return module(**inputs)


@contextmanager
def _swapped(loaded: Loaded, tracer: Tracer) -> Iterator[None]:
    """Put an abstract tensor in the place of every parameter and buffer; tied ones stay one."""
    made: dict[int, Abstract] = {}
    undo: list[tuple[dict[str, Any], str, Any]] = []
    for path, module in loaded.module.named_modules():
        for kind, holder in (("parameter", module._parameters), ("buffer", module._buffers)):
            for key, tensor in holder.items():
                if tensor is None:
                    continue
                name = f"{path}.{key}" if path else key
                if id(tensor) not in made:
                    place = loaded.places.get(name, Place())
                    made[id(tensor)] = tracer.recorder.stored(
                        kind, name, tensor, known=kind == "buffer", place=place, reason=loaded.reasons.get(name, "")
                    )
                undo.append((holder, key, tensor))
    tracer.lifted.update({id(t): (t, made[id(t)]) for _, _, t in undo})
    try:
        for holder, key, tensor in undo:
            holder[key] = made[id(tensor)]
        yield
    finally:
        for holder, key, tensor in undo:
            holder[key] = tensor


def _abstract_inputs(value: Any, name: str, recorder: Recorder) -> Any:
    """Inputs with their tensors abstract: floats unknown, integers and bools with their values."""
    if isinstance(value, torch.Tensor):
        known = not (value.dtype.is_floating_point or value.dtype.is_complex) and value.device.type == "cpu"
        return recorder.stored("input", name, value, known=known)
    if isinstance(value, dict):
        return {k: _abstract_inputs(v, f"{name}.{k}" if name else str(k), recorder) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        items = [_abstract_inputs(v, f"{name}.{i}" if name else str(i), recorder) for i, v in enumerate(value)]
        return type(value)(*items) if hasattr(value, "_fields") else type(value)(items)
    return value


def _ref(tensor: torch.Tensor, recorder: Recorder) -> Ref:
    if isinstance(tensor, Abstract):
        return recorder.read(tensor)
    return recorder.stored("constant", "", tensor, known=True).ref
