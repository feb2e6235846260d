"""Proposals that write one cast into the model's own code, and which lines can take one at all."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from analyzer.fixes.odd_operand import at_call, at_value, makes
from analyzer.fixes.search import to_cast, wanted_by
from analyzer.fixes.source_file import Insertion, read
from analyzer.ir.blame import handed_on
from analyzer.ir.dtypes import is_float, kind
from analyzer.ir.findings import Finding
from analyzer.ir.fixes.effects import holds
from analyzer.ir.fixes.proposals import Edit, Proposal
from analyzer.ir.flow import Flow
from analyzer.ir.graph import CAST, Node, Place


@dataclass(frozen=True, slots=True)
class Written:
    """A cast that can be written at a line of the folder."""

    place: Place
    insertions: tuple[Insertion, ...]
    narrows: int = 0
    """How many casts to a wider dtype, which somebody wrote, become narrower."""


def sources(flow: Flow, findings: Sequence[Finding], folder: Path) -> Iterator[Proposal]:
    """A cast at each line of the folder that an error's odd dtype comes through, where one can be written."""
    for cast in dict.fromkeys(writable(flow, findings, folder).values()):
        edits = edited(folder, [cast])
        if edits:
            yield Proposal("source", f"cast at {cast.place} in the source", edits=edits, narrows=cast.narrows)


def writable(flow: Flow, findings: Sequence[Finding], folder: Path) -> dict[tuple[str, str], Written]:
    """Where a cast can be written: (node, the dtype it is cast to) -> the cast.

    The nodes are the refused calls, whose line may be that of a caller in the folder, and what stands behind their
    odd operands: operations that mix dtypes, and those that make a dtype of their own.
    """
    found: dict[tuple[str, str], Written] = {}
    at = _castable(flow, findings)
    for (_, wanted), nodes in at.items():
        found |= {(node_id, wanted): cast for node_id, cast in _at_refused(folder, flow, nodes, wanted).items()}
    for (_, wanted), nodes in at.items():
        seen: dict[Place, Written | None] = {}
        for node in _behind(flow, [node.id for node in nodes], wanted):
            if node.refused:
                continue
            if node.place not in seen:
                seen[node.place] = _at_origin(folder, flow, node, wanted)
            if (cast := seen[node.place]) and _is_one(flow, node):
                found.setdefault((node.id, wanted), cast)
    return found


def _castable(flow: Flow, findings: Sequence[Finding]) -> Mapping[tuple[Place, str], list[Node]]:
    """The refused calls whose odd operands can all be cast, by their lines and the dtypes that they are cast to.

    Of a call that writes into an operand, those are two: what is written is cast, or what it is written into is made
    in another dtype.
    """
    at: defaultdict[tuple[Place, str], list[Node]] = defaultdict(list)
    refused = [flow.graph[n] for f in findings if f.severity == "error" and not f.tensors for n in f.nodes]
    for node in refused:
        for wanted in dict.fromkeys(wanted_by(flow, node)):
            odd = to_cast(flow, node.id, wanted) if wanted else ()
            if odd and len(odd) == len(flow.odd(node.id, wanted)):
                at[node.place, wanted].append(node)
    return at


def edited(folder: Path, casts: Iterable[Written]) -> tuple[Edit, ...]:
    """The files of the folder with these casts in them; () if one of them would no longer be Python."""
    by_file: defaultdict[str, list[Written]] = defaultdict(list)
    for one in dict.fromkeys(casts):
        by_file[one.place.file].append(one)
    edits = []
    for name, these in sorted(by_file.items()):
        code = read(folder, name)
        after = code.with_all([insertion for one in these for insertion in one.insertions]) if code else ""
        if code is None or not after:
            return ()
        edits.append(Edit(name, min(one.place.line for one in these), code.text, after, len(these)))
    return tuple(edits)


def _at_refused(folder: Path, flow: Flow, nodes: Sequence[Node], wanted: str) -> dict[str, Written]:
    """The casts at the line of refused calls, else at the nearest line of the folder that led to them.

    All casts of one line are one: it may call several modules, or one in each layer.
    """
    by_module: defaultdict[str, list[Node]] = defaultdict(list)
    for node in nodes:
        by_module[node.module].append(node)
    at: defaultdict[Place, list[Insertion]] = defaultdict(list)
    placed = {}
    for same in by_module.values():
        for place in dict.fromkeys((same[0].place, *same[0].callers)):
            code = read(folder, place.file)
            if code and (insertions := at_call(code, place.line, flow, same, wanted)):
                at[place] += insertions
                placed.update(dict.fromkeys((node.id for node in same), place))
                break
    casts = {place: Written(place, tuple(dict.fromkeys(insertions))) for place, insertions in at.items()}
    return {node_id: casts[place] for node_id, place in placed.items()}


def _at_origin(folder: Path, flow: Flow, node: Node, wanted: str) -> Written | None:
    code = read(folder, node.place.file) if _is_one(flow, node) else None
    if code is None:
        return None
    if makes(flow, node):
        insertions = at_value(code, node, wanted)
    else:
        insertions = at_call(code, node.place.line, flow, [node], wanted)
    return Written(node.place, insertions, int(_was_chosen(flow, node, wanted))) if insertions else None


def _was_chosen(flow: Flow, node: Node, wanted: str) -> bool:
    """Whether a cast to a wider dtype was written for what is computed after it, and would be a narrower one."""
    if node.op != CAST or holds(wanted, node.dtype) or not all(holds(node.dtype, has) for has in flow.reads(node.id)):
        return False
    return not any(flow.refused(edge.reader) for edge in flow.graph.readers(node.id))


def _is_one(flow: Flow, node: Node) -> bool:
    """Whether an odd dtype begins at the operation, or wins there over another; complex numbers take no such cast."""
    if "complex" in map(kind, flow.dtypes[node.id]):
        return False
    return len({dtype for dtype in flow.reads(node.id) if is_float(dtype)}) > 1 or makes(flow, node)


def _behind(flow: Flow, refused: Sequence[str], wanted: str) -> Iterator[Node]:
    """The operations that handed an odd dtype on to refused calls, nearest first."""
    queue = [ref for node_id in refused for ref in to_cast(flow, node_id, wanted)]
    seen = set()
    for ref in queue:
        node = flow.graph[ref.id]
        if not node.is_op or node.id in seen:
            continue
        seen.add(node.id)
        yield node
        queue += handed_on(flow.graph, ref, flow.dtype)
