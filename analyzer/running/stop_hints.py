"""What to do about a run that stopped: which input the failing line reads, if it reads one; else whose error it is."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from types import FrameType
from typing import Final

from torch import nn

from analyzer.capture import Loaded
from analyzer.capture.tensor import Abstract
from analyzer.capture.tracing.outcomes import tensors
from analyzer.capture.tracing.tracer import Tracer
from analyzer.errors import Interrupted
from analyzer.ir import walk
from analyzer.ir.graph import ModelGraph, Ref
from analyzer.running.traceback_frames import decided_by

_NO_GRADIENT: Final = "does not require grad"
_OF_CODE: Final = (NotImplementedError, AttributeError, ImportError, NameError)
"""Errors that other values or sizes of an input seldom mend."""
_OF_NAMES: Final = (AttributeError, ImportError, NameError)
"""Those that no input mends, whatever the line reads."""
_NOT_READ: Final = "it reads no input directly: "
_OWN: Final = "the model's own error, or a call that analyze does not trace"
_NOTHING: Final = "None"
"""What the words of an error hold that is about None."""
_PLAIN: Final = (int, float, str, tuple, list)
_NAMED: Final = 3
"""How many inputs are named."""


@dataclass(frozen=True, slots=True)
class Failure:
    """What is known of the call or line that an error came out of."""

    operands: tuple[Ref, ...]
    """What it reads of the graph."""
    missing: tuple[str, ...] = ()
    """Names of what it reads and what is None."""
    entered: bool = True
    """Whether a line of the model was running; else the model itself could not be called."""


def failure(error: BaseException, tracer: Tracer, given: object) -> Failure:
    """The failing call or line; `given` is what the torch call out of which the error came was given, else None."""
    frames = tracer.source_lines.raised_in(error)
    lines = list(_lines(frames))
    if given is not None:
        found = list(tensors(given))
    else:
        found = [t for frame, names in lines for name in names for t in walk.leaves(frame.f_locals.get(name), Abstract)]
    found = [t for t in found if t.capture == t.running]
    refs = [t.ref if given is None else tracer.recorder.read(t) for t in found]  # only the call's own make nodes
    known = tracer.recorder.graph.nodes
    nothing = [name for frame, names in lines[:1] for name in names if frame.f_locals.get(name, 0) is None]
    operands = tuple(ref for ref in dict.fromkeys(refs) if ref.id in known)
    return Failure(operands, tuple(dict.fromkeys(nothing)), bool(frames))


def _lines(frames: Iterable[tuple[FrameType, int]]) -> Iterator[tuple[FrameType, list[str]]]:
    """The frames that decided, from the error outward, and the names that they read.

    A caller counts only where the line reads a number, text or list that it was given by it, as a check of sizes does.
    """
    for frame, line in frames:
        names = decided_by(frame, line)
        yield frame, names
        code = frame.f_code
        taken = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
        if not any(isinstance(frame.f_locals.get(name), _PLAIN) for name in names if name in taken):
            return


def hint(error: Exception | Interrupted, failed: Failure, graph: ModelGraph, loaded: Loaded, *, train: bool) -> str:
    """What to do about a stop: as the error itself says, if it does.

    An input is named only where the failing call or line reads it, or something that no parameter went into; one that
    was made up also where what is read was computed from it, as sizes travel far.
    """
    said = _known(error, loaded) or str(getattr(error, "hint", "")) or _lacking(error, loaded)
    if said or isinstance(error, Interrupted):
        return said
    if not train and _NO_GRADIENT in str(error):
        return "a backward pass needs --train"
    where = " with --inputs FILE" if loaded.path else ""
    if not failed.entered:
        return f"the model does not take these inputs: give others{where}"
    direct, computed = _inputs(graph, failed.operands)
    missing = _not_given(failed, loaded)
    if missing and (not direct or _NOTHING in str(error)):
        return f"it reads {_list(missing)}, which was not given: give it{where}"
    if direct and not isinstance(error, _OF_NAMES):
        made_up = f", which was made up: give yours{where}"
        return f"it reads the input {_list(direct)}{made_up if loaded.invented else ': check it'}"
    return _own(error, loaded, computed, ("" if direct else _NOT_READ) + _OWN)


def _known(error: BaseException, loaded: Loaded) -> str:
    """What to do about drift of a library that shows in the error, and about a class that has nothing to run."""
    if isinstance(error, NotImplementedError) and type(loaded.module).forward is nn.Module.forward:
        how = ": say what runs with run(model, inputs) in --inputs FILE" if loaded.path else ""
        return f"{type(loaded.module).__name__} defines no forward{how}"
    return loaded.explains(error, sure=True) if loaded.explains is not None else ""


def _lacking(error: BaseException, loaded: Loaded) -> str:
    """What to do about an error over a package without which the code went on."""
    return loaded.lacks(error) if loaded.lacks is not None else ""


def _own(error: BaseException, loaded: Loaded, computed: Sequence[str], own: str) -> str:
    """What to do about an error that no input is behind, or only one that was made up."""
    if loaded.explains is not None and (drifted := loaded.explains(error, sure=False)):
        return drifted
    if computed and loaded.invented and not isinstance(error, _OF_CODE):
        where = " with --inputs FILE" if loaded.path else ""
        return f"{own}; if a real call gets further than one with the made-up {_list(computed)}, give yours{where}"
    return f"{own}; --debug shows the traceback" if loaded.path else own


def _not_given(failed: Failure, loaded: Loaded) -> list[str]:
    """Arguments of the model that the line reads and that nobody gave."""
    try:
        takes = inspect.signature(loaded.module.forward).parameters
    except (TypeError, ValueError):  # of a forward that is not written in Python
        return []
    return [name for name in failed.missing if name in takes and loaded.inputs.get(name) is None]


def _inputs(graph: ModelGraph, operands: Sequence[Ref]) -> tuple[list[str], list[str]]:
    """The inputs behind tensors that no parameter went into, and those behind the others. O(operands * nodes)."""
    direct: dict[str, None] = {}
    computed: dict[str, None] = {}
    for ref in operands:
        before = _before(graph, ref)
        weighted = any(graph[name].op == "parameter" for name in before)
        found = [graph[name].name for name in before if graph[name].op == "input"]
        (computed if weighted else direct).update(dict.fromkeys(found))
    return list(direct), list(computed)


def _before(graph: ModelGraph, ref: Ref) -> list[str]:
    """The nodes that a tensor was computed from, itself included, the nearest first."""
    seen, waiting = {ref.id: None}, [ref.id]
    for name in waiting:
        fresh = dict.fromkeys(one.id for one in graph[name].operands() if one.id not in seen)
        seen |= fresh
        waiting += fresh
    return waiting


def _list(names: Sequence[str]) -> str:
    more = [f"{len(names) - _NAMED} more"] if len(names) > _NAMED else []
    return ", ".join([*names[:_NAMED], *more])
