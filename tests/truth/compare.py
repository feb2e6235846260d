"""One case, a model under a set-up: what the trace says against what really happens, as a frozen result."""

from __future__ import annotations

import tempfile
from collections import defaultdict
from collections.abc import Container
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from torch import nn

from analyzer.capture import Captured
from analyzer.capture.tensor import dtype_name
from analyzer.propagate import disagreements, propagate
from tests.truth.entry import Entry
from tests.truth.running import How, Op, Raised, Run, real_run, traced_run
from tests.truth.setups import Setup, given, prepare

SEQUENCE, PER_LINE = "sequence", "per line"
REPLAYED: Final = "sequence, views replayed"
"""Where a value is written through a view, autograd differs for tensor subclasses: it makes the view again by its own
operation, for plain tensors by `as_strided`, and looks for `is_python_dispatch()` in C++. A switch of torch makes it
replay plain tensors' views as well: with it the real operations are the traced ones, one by one."""


@dataclass(frozen=True, slots=True)
class Result:
    """`way` says how operations were compared; `wrong` counts those with other results, the first one in `first`."""

    model: str
    family: str
    setup: str
    real: Raised | None = None
    traced: Raised | None = None
    ops: int = 0
    way: str = SEQUENCE
    wrong: int = 0
    first: str = ""
    assumed: int = 0
    """Operations whose shapes come of values that the trace made up, at lines that the report names."""
    unseen: tuple[str, ...] = ()
    """Source lines and operations that only one of the two runs had."""
    skipped: str = ""

    @property
    def raise_agrees(self) -> bool:
        """Whether both raise, or neither does."""
        return (self.real is None) == (self.traced is None)

    @property
    def words_agree(self) -> bool:
        return self.real is None or self.traced is None or self.real.words == self.traced.words

    @property
    def place_agrees(self) -> bool:
        return self.real is None or self.traced is None or self.real.place == self.traced.place

    @property
    def agrees(self) -> bool:
        return self.raise_agrees and self.words_agree and self.place_agrees and not self.wrong


def compare(entry: Entry, setup: Setup) -> Result:
    """Run a model under a set-up for real and traced, and compare."""
    with tempfile.TemporaryDirectory() as folder:
        module, loaded = prepare(entry, setup, Path(folder))
        inputs, how = given(entry, setup, module), How(setup.autocast, setup.train)
        real = real_run(module, inputs, how)
        traced, captured = traced_run(loaded, setup.plan())
        stored = _stored_differences(module, loaded.module)
        places = _made_up(captured) if captured else frozenset()
        real, traced = _without_forms(real, places), _without_forms(traced, places)
        way, wrong, unseen = compare_ops(real, traced)
        if way == PER_LINE and setup.train:
            again = compare_ops(_without_forms(real_run(module, inputs, replace(how, replay=True)), places), traced)
            if again[0] == SEQUENCE:  # the other views of the first run have other forms, too
                wrong = compare_ops(_without_forms(real), _without_forms(traced))[1] + again[1]
                way, unseen = REPLAYED, ()
    if captured is not None:
        flow = propagate(captured.graph, setup.plan())
        wrong += [f"propagation: {node} {ours} for {theirs}" for node, ours, theirs in disagreements(flow)]
    wrong = stored + wrong
    return Result(
        entry.name, entry.family, setup.name, real.raised, traced.raised, len(real.ops), way, len(wrong),
        wrong[0] if wrong else "", sum(op.place in places for op in traced.ops), unseen,
    )  # fmt: skip


def compare_ops(real: Run, traced: Run) -> tuple[str, list[str], tuple[str, ...]]:
    """How they were compared, the operations that give something else, and what only one run had.

    Up to the first error of each. Where both ran the same operations, one by one; else by source line.
    """
    if traced.raised and traced.raised.stopped:
        return SEQUENCE, [], ()
    ours, theirs = traced.ops[: _end(traced, real)], real.ops[: _end(real, traced)]
    if [(o.op, o.place) for o in ours] == [(o.op, o.place) for o in theirs]:
        return SEQUENCE, [_said(a, b) for a, b in zip(ours, theirs, strict=True) if a != b], ()
    lines, real_lines = _by_line(ours), _by_line(theirs)
    wrong = [
        f"{op} at {place}: traced {sorted(lines[op, place])}, really {sorted(results)}"
        for (op, place), results in real_lines.items()
        if (op, place) in lines and lines[op, place] != results
    ]
    return PER_LINE, wrong, tuple(sorted(f"{op} at {place}" for op, place in lines.keys() ^ real_lines.keys()))


def _made_up(captured: Captured) -> frozenset[str]:
    """The lines where shapes depend on values that the trace made up."""
    return frozenset(f"{a.file}:{a.line}" for a in captured.coverage.assumptions if a.what in _SHAPING)


_SHAPING: Final = ("values that shapes depend on", "a mask that depends on floats")


def _without_forms(run: Run, places: Container[str] | None = None) -> Run:
    """The run without shapes, strides and storages, at some lines or everywhere."""
    ops = [replace(op, forms=()) if places is None or op.place in places else op for op in run.ops]
    return replace(run, ops=tuple(ops))


def _end(run: Run, other: Run) -> int | None:
    """How many of a run's operations come before its first error, or before the other's if it has none."""
    raised = run.raised or other.raised
    return raised.after if raised else None


def _by_line(ops: tuple[Op, ...]) -> dict[tuple[str, str], set[str]]:
    """What each operation of each line gives; a memory without a name is called by the operation that gave it first."""
    lines: dict[tuple[str, str], set[str]] = defaultdict(set)
    makers: dict[str, str] = {}
    for op in ops:
        for form in op.forms:
            if form.storage[0].isdecimal():
                makers.setdefault(form.storage, f"what {op.op} at {op.place} made")
        forms = tuple(replace(form, storage=makers.get(form.storage, form.storage)) for form in op.forms)
        lines[op.op, op.place].add(_given(replace(op, forms=forms)))
    return lines


def _given(op: Op) -> str:
    return ", ".join([*op.dtypes, *map(str, op.forms)])


def _said(ours: Op, theirs: Op) -> str:
    return f"{ours.op} at {ours.place}: traced {_given(ours)}, really {_given(theirs)}"


def _stored_differences(real: nn.Module, ours: nn.Module) -> list[str]:
    theirs = {name: dtype_name(tensor.dtype) for name, tensor in real.state_dict(keep_vars=True).items()}
    mine = {name: dtype_name(tensor.dtype) for name, tensor in ours.state_dict(keep_vars=True).items()}
    names = sorted(theirs.keys() | mine.keys())
    return [f"{n}: loaded as {mine.get(n)}, really {theirs.get(n)}" for n in names if mine.get(n) != theirs.get(n)]
