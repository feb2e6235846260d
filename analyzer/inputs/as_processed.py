"""Tries images and sounds in the dtype that processors give, up to their first use, where another was made up."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import Any, Final

import torch

from analyzer.capture import Captured, Loaded
from analyzer.capture.tensor import Abstract, dtype_name
from analyzer.capture.tracing.recorder import Recorder
from analyzer.errors import AnalyzerError
from analyzer.inputs.modalities import modality_of
from analyzer.ir import walk
from analyzer.ir.dtypes import is_float
from analyzer.ir.findings import Assumption
from analyzer.ir.graph import Node
from analyzer.ir.plan import Plan
from analyzer.running.forward import capture

_IMAGE: Final = 4
"""Dimensions of an image, by which one is known that has no name."""


def told_as_processed(loaded: Loaded, captured: Captured, plan: Plan) -> Captured:
    """The capture, with a line on each input that a processor gives in a dtype which the first use of it refuses.

    It costs a run up to that use. Inputs that a person gave, or gave a dtype, are as they are meant.
    """
    dtypes = _dtypes(loaded, plan)
    if not dtypes or (captured.stop is not None and captured.stop.interrupted):
        return captured
    known = {(node.module, node.place) for node in captured.graph.ops() if node.refused}
    found = [(name, node) for name, node in _refused(loaded, plan, dtypes) if (node.module, node.place) not in known]
    lines = [_line(name, dtypes[name], node) for name, node in found]
    coverage = captured.coverage
    return replace(captured, coverage=replace(coverage, assumptions=tuple(sorted({*coverage.assumptions, *lines}))))


def _dtypes(loaded: Loaded, plan: Plan) -> dict[str, torch.dtype]:
    """The inputs that were made up in another dtype than processors give, with that one."""
    if not loaded.invented or plan.inputs_to is not None:
        return {}
    found: dict[str, torch.dtype] = {}
    for name, value in loaded.inputs.items():
        ours, given = _floats(value), _floats(loaded.processed.get(name))
        theirs = next((tensor.dtype for tensor in given), torch.float32)
        is_named = any(key == name or key.startswith(f"{name}.") for key in plan.input_dtypes)
        is_image = modality_of(name) or any(tensor.dim() == _IMAGE for tensor in ours)
        if ours and not is_named and (given or is_image) and all(tensor.dtype != theirs for tensor in ours):
            found[name] = theirs
    return found


def _floats(value: object) -> list[torch.Tensor]:
    return [tensor for tensor in walk.leaves(value, torch.Tensor) if tensor.is_floating_point()]


def _refused(loaded: Loaded, plan: Plan, dtypes: dict[str, torch.dtype]) -> list[tuple[str, Node]]:
    """What refuses an input in such a dtype where it is first used."""
    inputs = {name: _cast(value, dtypes[name]) if name in dtypes else value for name, value in loaded.inputs.items()}
    bare = {name: value for name, value in inputs.items() if name not in loaded.spare}
    recorder = _UntilUsed({name: dtype_name(dtype) for name, dtype in dtypes.items()})
    with suppress(_Used, AnalyzerError):
        capture(replace(loaded, inputs=bare, spare=(), steps=()), replace(plan, train=False), recorder=recorder)
    return recorder.refused


def _cast(value: Any, dtype: torch.dtype) -> Any:
    return walk.changed(value, torch.Tensor, lambda one: one.to(dtype) if one.is_floating_point() else one)


def _line(name: str, dtype: torch.dtype, node: Node) -> Assumption:
    kind, place = dtype_name(dtype), node.place
    what = f"{kind} {name}, as the processor gives them, raise at {place}"
    advice = f"cast them, or trace with --input-dtype {name}={kind} ({node.refused})"
    return Assumption(what, advice, place.file, place.line, kind="as_processed")


class _Used(BaseException):
    """Every input was used, or refused."""


class _UntilUsed(Recorder):
    """Records until each of some inputs has met a parameter, was cast, or was refused."""

    def __init__(self, dtypes: dict[str, str]) -> None:
        super().__init__()
        self.refused: list[tuple[str, Node]] = []
        self._dtypes = dtypes
        self._waiting = set(dtypes)
        self._of: dict[str, frozenset[str]] = {}
        """Node -> the inputs that it holds, in their dtype still."""

    def stored(self, kind: Any, name: str, tensor: torch.Tensor, **others: Any) -> Abstract:
        """As any; an input is followed from here on."""
        made = super().stored(kind, name, tensor, **others)
        owner = name.partition(".")[0]
        if kind == "input" and owner in self._dtypes and tensor.is_floating_point():
            self._of[made.ref.id] = frozenset({owner})
        return made

    def op(self, *args: Any, **kwargs: Any) -> str:
        """As any; raises _Used once nothing is followed any more."""
        node_id = super().op(*args, **kwargs)
        if node_id:
            self._follow(self.graph[node_id])
        return node_id

    def _follow(self, node: Node) -> None:
        names = frozenset[str]().union(*(self._of.get(ref.id, ()) for ref in node.operands())) & self._waiting
        if not names:
            return
        if node.refused:
            self.refused += [(name, node) for name in sorted(names)]
        elif self._passes(node, names):
            self._of[node.id] = names
            return
        self._waiting -= names
        if not self._waiting:
            raise _Used

    def _passes(self, node: Node, names: frozenset[str]) -> bool:
        """Whether a node only carries its inputs on: no parameter takes part, and they have their dtype still."""
        held = {self._dtypes[name] for name in names}
        floats = {spec.dtype for spec in node.outputs if is_float(spec.dtype)}
        meets = any(self.graph[ref.id].op == "parameter" for ref in node.operands())
        return not meets and floats <= held and bool(floats)
