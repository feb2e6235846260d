"""The neighbourhood of one finding or one module, operation by operation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Set
from dataclasses import replace
from difflib import get_close_matches
from typing import Final

from analyzer.errors import AnalyzerError
from analyzer.ir.findings import Finding
from analyzer.ir.graph import above
from analyzer.picture.folding import Folded
from analyzer.picture.interest import Interest, interest
from analyzer.picture.parts import Box, Cluster, View
from analyzer.picture.reading import Reading
from analyzer.picture.view_options import Look

HOPS: Final = 2
"""Operations before and after a refused call that are shown with it."""


def check(flow: Reading, findings: Sequence[Finding], look: Look) -> None:
    """Raise AnalyzerError if there is no such finding or module."""
    if look.finding and look.finding > len(findings):
        raise AnalyzerError(f"there is no finding {look.finding}", hint=f"findings are numbered 1 to {len(findings)}")
    modules = {path for node in flow.graph.ops() for path in above(node.module)}
    if look.focus and look.focus not in modules:
        near = get_close_matches(look.focus, sorted(modules - {""}), 3, 0.4)
        parts = sorted(path for path in modules if path and "." not in path)
        hint = f"did you mean {', '.join(near)}?" if near else f"its parts are {', '.join(parts[:8])}"
        raise AnalyzerError(f"the run enters no module '{look.focus}'", hint=hint)


def attempts(flow: Reading, findings: Sequence[Finding], folded: Folded, look: Look) -> Iterator[Interest]:
    """What to draw in focus, the fullest first: each later one has fewer boxes."""
    if look.finding:
        for hops in range(HOPS, -1, -1):
            seen = interest(flow, findings, folded, 1, look.finding)
            seen.drawn.update(dict.fromkeys(_around(flow, folded, seen, hops)))
            yield seen
    else:
        yield from _in_module(flow, findings, folded, folded.path(look.focus))


def _in_module(flow: Reading, findings: Sequence[Finding], folded: Folded, module: str) -> Iterator[Interest]:
    """All operations in a module, those of its own code alone, and only what was found there."""
    inside = [node for node in flow.graph.ops() if _within(folded.path(node.module), module)]
    own = [node for node in inside if folded.path(node.module) == module]
    for nodes in (inside, own, []):
        seen = interest(flow, findings, folded, 6)
        for node_id in [node_id for node_id in seen.faults if flow.graph[node_id] not in inside]:
            del seen.faults[node_id]
        kept = {folded.twins[node.id] for node in inside} | seen.faults.keys()
        seen.drawn = {node_id: None for node_id in seen.drawn if node_id in kept or not flow.graph[node_id].is_op}
        seen.drawn.update(dict.fromkeys(folded.twins[node.id] for node in nodes if node.id not in folded.aside))
        seen.opened.update(above(module))
        yield seen


def pruned(view: View, seen: Interest, look: Look, folded: Folded) -> View:
    """Only the boxes in focus, and those that they are linked to."""
    module = folded.path(look.focus)
    core = {box.id for box in view.boxes if not box.stub and _in_focus(box, seen, look, module)}
    near = core | {
        end for link in view.links if {link.source, link.target} & core for end in (link.source, link.target)
    }
    links = tuple(link for link in view.links if {link.source, link.target} & core)
    return View(_only(view.root, near), links)


def _in_focus(box: Box, seen: Interest, look: Look, module: str) -> bool:
    if look.finding:
        return box.id.partition(":")[2] in seen.drawn and box.kind != "module"
    return any(_within(path, module) for path in (*box.path, "")) and box.kind not in ("output", "missed")


def _only(cluster: Cluster, kept: Set[str]) -> Cluster:
    inner = tuple(_only(one, kept) for one in cluster.clusters)
    return replace(
        cluster,
        boxes=tuple(box for box in cluster.boxes if box.id in kept),
        clusters=tuple(one for one in inner if one.boxes or one.clusters),
    )


def _around(flow: Reading, folded: Folded, seen: Interest, hops: int) -> Iterator[str]:
    """Operations within so many steps of a fault, before and after it."""
    ring = set(seen.faults)
    for _ in range(hops):
        sources = {ref.id for node_id in ring for ref in flow.graph[node_id].operands()}
        readers = {edge.reader for node_id in ring for edge in flow.graph.readers(node_id)}
        ring = {folded.twins[node_id] for node_id in sources | readers if node_id not in folded.aside}
        yield from sorted(ring)


def _within(path: str, module: str) -> bool:
    return not module or path == module or path.startswith(f"{module}.")
