"""The proposal of a minimum cut: the fewest casts that clear all errors of a plan together, of whatever kinds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from analyzer.fixes.search import fewest
from analyzer.fixes.source_casts import Written, edited, writable
from analyzer.ir.dtypes import short
from analyzer.ir.findings import Finding
from analyzer.ir.flow import Flow
from analyzer.ir.graph import Place
from analyzer.ir.proposals import Proposal

_NAMED = 3
"""How many casts are spelled out."""


def cut(flow: Flow, findings: Sequence[Finding], folder: Path) -> Iterator[Proposal]:
    """The fewest casts, as one change of the set-up and the source; none where a single cast is enough, or none is.

    A tensor that two calls want in different dtypes cannot have both.
    """
    lines = writable(flow, findings, folder)
    casts = fewest(flow, findings, {key: written.place for key, written in lines.items()})
    if len(casts) < 2 or len({what for what, _ in casts}) < len(casts):
        return
    at = {(written.place, key[1]): written for key, written in lines.items()}
    written = [at[what, wanted] for what, wanted in casts if isinstance(what, Place)]
    edits = edited(folder, written)
    if written and not edits:
        return
    yield Proposal("cut", _what(casts, written), _change(flow, casts), edits=edits)


def _change(flow: Flow, casts: Sequence[tuple[str | Place, str]]) -> Mapping[str, Mapping[str, str]]:
    inputs = {node.name for node in flow.graph.stored() if node.op == "input"}
    change: dict[str, dict[str, str]] = {}
    for what, wanted in casts:
        if isinstance(what, str):
            change.setdefault("input_dtypes" if what in inputs else "set", {})[what] = wanted
    return change


def _what(casts: Sequence[tuple[str | Place, str]], written: Sequence[Written]) -> str:
    stored = [f"{what} to {short(wanted)}" for what, wanted in casts if isinstance(what, str)]
    lines = [str(one.place) for one in written]
    said = [*stored[:_NAMED], *([f"{len(stored) - _NAMED} more"] if len(stored) > _NAMED else [])]
    parts = [f"cast {', '.join(said)}"] if stored else []
    parts += [f"cast at {', '.join(lines)} in the source"] if lines else []
    return f"the fewest casts, {len(casts)}: {' and '.join(parts)}"
