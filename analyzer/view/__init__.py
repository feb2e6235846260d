"""Folds a graph for the eye: identical layers once, only what is mixed opened, hubs cut into stubs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from analyzer.dtypes import short
from analyzer.findings import Finding, Unentered
from analyzer.graph import UPDATED, Node, Ref, Spec, above
from analyzer.text import op_name
from analyzer.view.folding import Folded, Reading, fold
from analyzer.view.interest import SHOWN, interest, meeting, worst
from analyzer.view.picture import Box, Cluster, Link, View
from analyzer.view.placing import Effort, Places, levels, place

__all__ = ["Box", "Cluster", "Link", "View", "overview"]

MOST: Final = 150
"""Boxes in an overview."""
MISSED: Final = 8
"""Boxes for modules that the run never entered."""
HUB: Final = 6
"""Readers that may be linked directly to one box."""
EFFORTS: Final = (
    Effort(40, 99, 8, True),
    Effort(40, 99, 2, True),
    Effort(40, 99, 2, False),
    Effort(12, 99, 2, False),
    Effort(12, 3, 2, False),
    Effort(12, 2, 1, False),
    Effort(4, 1, 1, False),
    Effort(1, 0, 1, False),
    Effort(0, -1, 1, False),
)
"""From the fullest picture to one box; the first that has at most MOST boxes is shown."""


def overview(flow: Reading, findings: Iterable[Finding], missed: Sequence[Unentered] = ()) -> View:
    """Make the picture of a model that a person can read: at most 150 boxes, whatever its size.

    Of the modules that the run never entered, MISSED at most are closed boxes that nothing leads to.
    """
    found = tuple(findings)
    folded = fold(flow)
    for effort in EFFORTS:
        seen = interest(flow, found, folded, effort.faults)
        view = _draw(flow, found, folded, place(flow, folded, seen, effort), missed[:MISSED])
        if len(view.boxes) <= MOST:
            break
    return view


def _draw(
    flow: Reading, findings: Sequence[Finding], folded: Folded, places: Places, missed: Sequence[Unentered]
) -> View:
    faults: defaultdict[str, list[Finding]] = defaultdict(list)
    for finding in findings:
        if finding.severity in SHOWN:
            for box in dict.fromkeys(places.box_of[n] for n in finding.nodes if n in places.box_of):
                faults[box].append(finding)
    boxes = {box: _box(flow, folded, places, box, worst(faults[box])) for box in places.kinds}
    if flow.graph.outputs:
        boxes["output:"] = _output(flow)
    links = _links(flow, folded, places, list(boxes))
    links, stubs = _cut_hubs(links, boxes)
    apart = [_missed(one, set(places.clusters.values())) for one in missed]
    return View(_nest([*boxes.values(), *stubs, *apart], folded), tuple(links))


def _box(flow: Reading, folded: Folded, places: Places, box: str, finding: Finding | None) -> Box:
    nodes, kind, cluster = places.nodes[box], places.kinds[box], places.clusters[box]
    dtypes = [flow.dtype(Ref(n.id)) for n in nodes if n.outputs]
    return Box(
        box,
        _closed_label(folded, places.modules[box], cluster) if kind == "module" else _LABELS.get(kind, _name)(nodes),
        kind,
        _tooltip(flow, nodes),
        tuple(levels(cluster)[1:]),
        finding.code if finding else "",
        finding.severity if finding else "",
        finding.message if finding else "",
        dtypes[-1] if dtypes else "",
        len(nodes),
    )


def _missed(one: Unentered, open_: set[str]) -> Box:
    cluster = next((path for path in above(one.module) if path in open_), "")
    label = one.module.removeprefix(f"{cluster}.") if cluster else one.module
    tooltip = f"{one.module}: never entered\n{one.parameters:,} parameters"
    return Box(f"missed:{one.module}", f"{label}\nnever entered", "missed", tooltip, tuple(levels(cluster)[1:]))


def _name(nodes: Sequence[Node]) -> str:
    return nodes[0].name or nodes[0].id


def _op_label(nodes: Sequence[Node]) -> str:
    name = op_name(nodes[0].op)
    if nodes[0].inserted:
        return f"cast by {nodes[0].inserted}"
    call = nodes[0].call.rpartition(".")[2]
    name = f"{call}: {name}" if call and call != name.partition(".")[0] else name
    name = f"{nodes[0].phase} of {name}" if nodes[0].phase else name
    return f"{nodes[0].step}: {name}" if nodes[0].step else name


def _glue_label(nodes: Sequence[Node]) -> str:
    names = list(
        dict.fromkeys(
            op_name(n.op).rpartition(".")[0] or op_name(n.op) for n in nodes if not (n.op == UPDATED or n.inserted)
        )
    )
    names = names or [f"cast by {nodes[0].inserted}" if nodes[0].inserted else "updated"]
    more = ", ..." if len(names) > 2 else ""
    return f"{', '.join(names[:2])}{more}" + (f" ({len(nodes)} ops)" if len(nodes) > 1 else "")


def _stop_label(nodes: Sequence[Node]) -> str:
    return f"{nodes[0].reason} ({nodes[0].place})" if nodes[0].place.file else nodes[0].reason


_LABELS: Final = {"op": _op_label, "glue": _glue_label, "stop": _stop_label}


def _closed_label(folded: Folded, paths: Sequence[str], cluster: str) -> str:
    label = _module_label(folded, paths[0], cluster)
    if len(paths) == 1:
        return label
    return f"{label}-{paths[-1].rpartition('.')[2]} ({len(paths)} that differ)"


def _module_label(folded: Folded, path: str, cluster: str) -> str:
    label = path.removeprefix(f"{cluster}.") if cluster else path
    for part in levels(path)[1:]:
        if folded.sizes.get(part, 1) > 1 and part == path:
            label += f"-{folded.last[part].rpartition('.')[2]}  x {folded.sizes[part]}"
    return label or "the model"


def _tooltip(flow: Reading, nodes: Sequence[Node]) -> str:
    node = nodes[-1]
    lines = [node.name or node.id, node.module and f"in {node.module}"]
    lines += [", ".join(_spec(flow, node, i, spec) for i, spec in enumerate(node.outputs)), str(node.place)]
    lines += [node.reason, flow.refused(node.id), f"{len(nodes)} in all, the last is shown" if len(nodes) > 1 else ""]
    return "\n".join(line for line in lines if line)


def _spec(flow: Reading, node: Node, index: int, spec: Spec) -> str:
    return f"{short(flow.dtype(Ref(node.id, index)))}[{','.join(map(str, spec.shape))}]"


def _output(flow: Reading) -> Box:
    refs = flow.graph.outputs
    dtypes = dict.fromkeys(short(flow.dtype(ref)) for ref in refs)
    label = f"output ({len(refs)})" if len(refs) > 1 else "output"
    tooltip = "\n".join(_spec(flow, flow.graph[r.id], r.index, flow.graph.spec(r)) for r in refs[:8])
    return Box("output:", f"{label}: {', '.join(dtypes)}", "output", tooltip, dtype=flow.dtype(refs[0]))


@dataclass
class _Bundle:
    dtypes: dict[str, None] = field(default_factory=dict)
    mixed: dict[str, None] = field(default_factory=dict)
    tooltip: str = ""
    count: int = 0


def _links(flow: Reading, folded: Folded, places: Places, order: Sequence[str]) -> list[Link]:
    rank = {box: i for i, box in enumerate(order)}
    bundles: defaultdict[tuple[str, str], _Bundle] = defaultdict(_Bundle)
    reads = [(ref, node) for node in flow.graph for ref in node.operands()]
    for ref, reader in [*reads, *((ref, None) for ref in flow.graph.outputs)]:
        source = places.box_of.get(ref.id, "")
        target = places.box_of.get(reader.id, "") if reader else "output:"
        if not source or not target or source == target:
            continue
        if rank[source] > rank[target] and folded.twins[ref.id] != ref.id:
            continue  # from one copy of a folded layer to the next: "x 40" says it
        bundle = bundles[source, target]
        dtype = flow.dtype(ref)
        bundle.count += 1
        bundle.dtypes[short(dtype)] = None
        mixed = meeting(flow, reader.id, dtype) if reader and places.kinds[target] == "op" else ""
        if mixed:
            bundle.mixed[mixed] = None
        if mixed or not bundle.tooltip:
            node = flow.graph[ref.id]
            to = f" to {reader.name or reader.id} {reader.place}".rstrip() if reader else ""
            bundle.tooltip = f"{_spec(flow, node, ref.index, flow.graph.spec(ref))} from {node.name or node.id}{to}"
    ordered = sorted(bundles.items(), key=lambda item: (rank[item[0][0]], rank[item[0][1]]))
    return [Link(*ends, ", ".join(b.mixed or b.dtypes), bool(b.mixed), b.tooltip, b.count) for ends, b in ordered]


def _cut_hubs(links: list[Link], boxes: dict[str, Box]) -> tuple[list[Link], list[Box]]:
    by_source: defaultdict[str, list[Link]] = defaultdict(list)
    for link in links:
        by_source[link.source].append(link)
    kept: list[Link] = []
    stubs: list[Box] = []
    for source, out in by_source.items():
        kept.append(out[0])
        for link in out[1:]:
            if len(out) > HUB:
                stub = replace(boxes[source], id=f"{source} for {link.target}", path=boxes[link.target].path, stub=True)
                stubs.append(stub)
                link = replace(link, source=stub.id)
            kept.append(link)
    return kept, stubs


def _nest(boxes: Sequence[Box], folded: Folded) -> Cluster:
    inside: dict[tuple[str, ...], list[Box]] = {(): []}
    for box in boxes:
        for depth in range(len(box.path) + 1):
            inside.setdefault(box.path[:depth], [])
        inside[box.path].append(box)

    def cluster(path: tuple[str, ...]) -> Cluster:
        children = tuple(cluster(other) for other in inside if other[:-1] == path and other != path)
        label = _module_label(folded, path[-1], path[-2] if len(path) > 1 else "") if path else ""
        return Cluster(path[-1] if path else "", label, tuple(inside[path]), children)

    return cluster(())
