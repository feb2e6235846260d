"""Says where and why the model's own code ended a run, and marks the place in the graph."""

from __future__ import annotations

from typing import Final

from analyzer.capture import Stop
from analyzer.capture.not_traced import NotTraced
from analyzer.capture.tracing.outcomes import tensors
from analyzer.capture.tracing.tracer import Tracer
from analyzer.errors import Interrupted
from analyzer.ir.graph import STOPPED, Node, Place, Ref
from analyzer.ir.reason import Reason

_NO_GRADIENT: Final = "does not require grad"


def mark(error: Exception | Interrupted, tracer: Tracer, *, train: bool) -> Stop:
    """The stop that an error is; the graph's last node then stands for it.

    That node reads what the call was given out of which the error came, else what the last operation gave.
    """
    place, module = tracer.source_lines.of_error(error)
    said = next((line for line in str(error).splitlines() if line.strip()), "")
    told = isinstance(error, (Interrupted, NotTraced))
    about = said if told else f"{type(error).__name__}: {said}".rstrip(": ")
    if tracer.recorder.graph.nodes:
        tracer.recorder.graph.add(_node(error, tracer, module, place, about))
    words = f"{about} at {str(place) or 'an unknown line'}"
    return Stop(error, place, module, words if told else f"the model stopped with {words}", _hint(error, said, train))


def _node(error: Exception | Interrupted, tracer: Tracer, module: str, place: Place, about: str) -> Node:
    failed, call, given = tracer.failed
    own = failed is error or (failed is not None and failed in (error.__cause__, error.__context__))
    read = [tracer.recorder.read(t) for t in tensors(given) if t.capture == t.running] if own else []
    return Node(
        tracer.recorder.name("stopped"),
        STOPPED,
        tuple(dict.fromkeys(read)) or _last(tracer),
        module=module,
        call=call if own else "",
        place=place,
        reason=Reason(about, "stopped"),
        step=tracer.passes.step,
    )


def _hint(error: Exception | Interrupted, said: str, train: bool) -> str:
    """What to do: as the error itself says, if it does."""
    if isinstance(error, Interrupted):
        return error.hint
    if not train and _NO_GRADIENT in said:
        return getattr(error, "hint", "") or "a backward pass needs --train"
    return getattr(error, "hint", "") or "check the inputs (--inputs FILE)"


def _last(tracer: Tracer) -> tuple[Ref, ...]:
    nodes = tracer.recorder.graph.nodes
    return next(((Ref(name),) for name in reversed(nodes) if nodes[name].is_op and nodes[name].outputs), ())
