"""The proposal of a minimum cut: the fewest casts that clear all errors of a plan together, of whatever kinds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from operator import attrgetter
from pathlib import Path

from analyzer.fixes.search import fewest
from analyzer.fixes.source_casts import Written, edited, writable
from analyzer.ir.dtypes import short
from analyzer.ir.findings import Finding
from analyzer.ir.fixes.proposals import Proposal
from analyzer.ir.flow import Flow
from analyzer.ir.graph import Place

_NARROWS = attrgetter("narrows")
_NAMED = 3
"""How many casts are spelled out."""


def cut(flow: Flow, findings: Sequence[Finding], folder: Path) -> Iterator[Proposal]:
    """The fewest casts, as one change of the set-up and the source; none where a single cast is enough, or none is.

    A tensor that two calls want in different dtypes cannot have both. Where calls write into operands there may be two:
    what they write into is cast, or what is written.
    """
    lines = writable(flow, findings, folder)
    places = {key: written.place for key, written in lines.items()}
    at = {(written.place, key[1]): written for key, written in lines.items()}
    found = dict.fromkeys(fewest(flow, findings, places, into=into) for into in (False, True))
    for casts in (one for one in found if not any(other and {*other} < {*one} for other in found)):
        written = [at[what, wanted] for what, wanted in casts if isinstance(what, Place)]
        edits = edited(folder, written)
        several = len(casts) > 1 and len({what for what, _ in casts}) == len(casts)
        if several and (edits or not written):
            change = _change(flow, casts)
            yield Proposal("cut", _what(casts, written), change, edits=edits, narrows=sum(map(_NARROWS, written)))


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
