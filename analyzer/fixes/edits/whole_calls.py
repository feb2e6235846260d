"""Proposals for a call whose kernel takes other dtypes: all its floats are cast there, and its result is cast back."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypeAlias

from analyzer.fixes.odd_operand import at_call
from analyzer.fixes.search import taken
from analyzer.fixes.source_casts import Written, edited
from analyzer.fixes.source_file import Insertion, read
from analyzer.ir.dtypes import short
from analyzer.ir.findings import Finding
from analyzer.ir.fixes.proposals import Proposal
from analyzer.ir.flow import Flow
from analyzer.ir.graph import Node, Place, in_any_layer

_Key: TypeAlias = "tuple[Place, tuple[str, str], str, bool]"
"""The line, the operation and the module that it is in, the dtype, and whether the result is cast back."""


def wholes(flow: Flow, findings: Sequence[Finding], folder: Path) -> Iterator[Proposal]:
    """Casts at the calls that are refused, to each dtype that they take, with their results cast back and without.

    A line that every layer runs is one.
    """
    at: defaultdict[_Key, list[Insertion]] = defaultdict(list)
    for finding in findings:
        if finding.severity == "error" and not finding.tensors:
            for node_id in finding.nodes:
                _add(flow, flow.graph[node_id], folder, at)
    for (place, _, wanted, back), insertions in at.items():
        edits = edited(folder, [Written(place, tuple(dict.fromkeys(insertions)))])
        if edits:
            result = ", and its result back," if back else ""
            yield Proposal(
                "source", f"cast to {short(wanted)} at the call{result} at {place} in the source", edits=edits
            )


def _add(flow: Flow, node: Node, folder: Path, at: dict[_Key, list[Insertion]]) -> None:
    for wanted in taken(flow, node):
        for back in (True, False):
            for place in dict.fromkeys((node.place, *node.callers)):
                code = read(folder, place.file)
                insertions = at_call(code, place.line, flow, [node], wanted, back=back) if code else ()
                if insertions:
                    at[place, (node.op, in_any_layer(node.module)), wanted, back] += insertions
                    break
