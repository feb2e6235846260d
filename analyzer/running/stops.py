"""Says where and why the model's own code ended a run, and marks the place in the graph."""

from __future__ import annotations

import torch

from analyzer import oracle
from analyzer.capture import Loaded, Stop
from analyzer.capture.not_traced import NotTraced
from analyzer.capture.refusals.dtype_checks import looked_at
from analyzer.capture.tensor import Abstract
from analyzer.capture.tracing.site import Refusal, Site
from analyzer.capture.tracing.tracer import Tracer
from analyzer.errors import Interrupted, first_line
from analyzer.ir.graph import CHECK, STOPPED, Node, Place, Ref
from analyzer.ir.reason import Reason
from analyzer.running.stop_hints import failure, hint


def mark(
    error: Exception | Interrupted, tracer: Tracer, loaded: Loaded, *, train: bool, told_of: Abstract | None = None
) -> Stop:
    """The stop that an error is in a run of what was loaded; the graph's last node then stands for it.

    That node reads what the call was given out of which the error came, else what the last operation gave. `told_of`
    is the tensor whose dtype code was told last.
    """
    place, module = tracer.source_lines.of_error(error)
    said = first_line(error)
    told = isinstance(error, (Interrupted, NotTraced))
    about = said if told else f"{type(error).__name__}: {said}".rstrip(": ")
    raised, call, given = tracer.failed
    own = raised is error or (raised is not None and raised in (error.__cause__, error.__context__))
    failed = failure(error, tracer, given if own else None)
    what_to_do = hint(error, failed, tracer.recorder.graph, loaded, train=train)
    looked = looked_at(error)
    if looked is not None and not told and tracer.mends_kinds:
        site = Site(module, "", place, "", tracer.passes.step)
        refusal = Refusal(oracle.words(error), callers=tracer.source_lines.callers_of(error))
        _refuse(looked or (told_of,), tracer, site, refusal)
    if tracer.recorder.graph.nodes:
        tracer.recorder.graph.add(
            _node(tracer, module, place, about, call if own else "", failed.operands if own else ())
        )
    words = f"{about} at {str(place) or 'an unknown line'}"
    return Stop(error, place, module, words if told else f"the model stopped with {words}", what_to_do)


def _refuse(looked: tuple[torch.Tensor | None, ...], tracer: Tracer, site: Site, refusal: Refusal) -> None:
    """Record the code that raised for a dtype as a refused call of what it looked at."""
    operands = [t for t in looked if type(t) is Abstract and t.capture == t.running]
    tracer.recorder.op("check", CHECK, operands, {}, (), site, refusal)


def _node(tracer: Tracer, module: str, place: Place, about: str, call: str, read: tuple[Ref, ...]) -> Node:
    return Node(
        tracer.recorder.name("stopped"),
        STOPPED,
        read or _last(tracer),
        module=module,
        call=call,
        place=place,
        reason=Reason(about, "stopped"),
        step=tracer.passes.step,
    )


def _last(tracer: Tracer) -> tuple[Ref, ...]:
    nodes = tracer.recorder.graph.nodes
    return next(((Ref(name),) for name in reversed(nodes) if nodes[name].is_op and nodes[name].outputs), ())
