"""What every format of a difference says: its sections, each a title and rows with a sign."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby

from analyzer.diff.comparison import Difference, Edge, Item, Renamed, Stage, Tensor
from analyzer.ir.dtypes import short
from analyzer.ir.findings import Finding
from analyzer.render.words import PARTIAL, size

Row = tuple[str, str]
"""`-`, `+` or `~`, and the words."""


def sections(stage: Stage) -> Iterator[tuple[str, list[Row]]]:
    """The sections that are not empty, the gravest first."""
    found = [("+", _finding(one)) for one in stage.new] + [("-", _finding(one)) for one in stage.gone]
    before, after = stage.bytes
    memory = [("~", f"stored tensors: {size(before)} -> {size(after)} ({size(after - before)})")]
    parts = {
        "findings": found,
        "runs": _stops(stage),
        "dtypes on edges": [("~", edge(one)) for one in stage.edges],
        "results": [("~", _dtypes(stage.before.outputs) + " -> " + _dtypes(stage.after.outputs))] * stage.outputs,
        "stored tensors": [("~", tensor(one)) for one in stage.tensors],
        "memory": memory * (before != after),
        "modules": [("~", renamed(one)) for one in stage.renamed] + _both(stage.modules),
        "casts": _both(stage.casts),
        "operations": _both(stage.ops),
    }
    yield from ((title, rows) for title, rows in parts.items() if rows)


def nothing(difference: Difference) -> str:
    """That nothing differs, as far as both runs went; "" where something does."""
    if not difference.empty:
        return ""
    return f"{PARTIAL}: no difference so far" if difference.incomplete else "no difference"


def edge(one: Edge) -> str:
    """One change on edges: `addmm of resampler.attn, operand 1: bf16 -> f32 (resampler.py:53) x 2`."""
    where = f" of {one.module}" if one.module else ""
    place = f" ({one.place})" if one.place.file else ""
    return f"{one.call}{where}, operand {one.position}: {_change(one.before, one.after)}{place}{_times(one.count)}"


def tensor(one: Tensor) -> str:
    """One stored tensor: `parameter pos_embed: f32 -> bf16 (-288.0 KiB)`, or `f32 of another shape`."""
    same = f"{short(one.after)} of another shape" if one.before == one.after else ""
    return f"{one.kind} {one.name}: {same or _change(one.before, one.after)} ({size(one.bytes)}){_times(one.count)}"


def renamed(one: Renamed) -> str:
    """One module that only has another path: `vpm -> vision: SiglipVisionModel`."""
    return f"{one.before} -> {one.after}: {one.what}{_times(one.count)}"


def _finding(one: Finding) -> str:
    place = f"{one.file}:{one.line} " if one.file else ""
    module = f"in {one.module}: " if one.module else ""
    return f"{one.severity} {one.code} {place}{module}{one.message}{_times(one.count)}"


def _stops(stage: Stage) -> list[Row]:
    """Where each side stopped early; once where both did so alike."""
    before, after = stage.stops
    rows = [("~", before)] if before == after else [("-", before), ("+", after)]
    return [(sign, f"stopped early: {why}") for sign, why in rows if why]


def _both(sides: tuple[tuple[Item, ...], tuple[Item, ...]]) -> list[Row]:
    return [("-", _item(one)) for one in sides[0]] + [("+", _item(one)) for one in sides[1]]


def _item(one: Item) -> str:
    return (
        f"{one.module or 'the model'}: {one.what}{_times(one.count)}"
        if one.what
        else f"{one.module}{_times(one.count)}"
    )


def _change(before: str, after: str) -> str:
    return f"{short(before) if before else 'none'} -> {short(after) if after else 'none'}"


def _dtypes(names: Iterable[str]) -> str:
    runs = [(name, len(list(run))) for name, run in groupby(names)]
    return ", ".join(f"{short(name)}{_times(count)}" for name, count in runs) or "none"


def _times(count: int) -> str:
    return f" x {count:,}" if count > 1 else ""
