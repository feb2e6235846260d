"""Makes the links between boxes: tensors bundled, hubs and tables cut into stubs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from typing import Final

from analyzer.ir.dtypes import DTYPES, is_float, short
from analyzer.ir.graph import Node, Ref
from analyzer.picture.boxes import Scene, described
from analyzer.picture.interest import meeting
from analyzer.picture.marks import told
from analyzer.picture.parts import Box, Link

HUB: Final = 6
"""Readers that may be linked directly to one box."""
RETURNED: Final = 3
"""Boxes that may be linked to the output; of more, only the one that makes the first tensor of the result."""
_FLOATS: Final = {short(name) for name in DTYPES if is_float(name)}


@dataclass
class _Bundle:
    dtypes: dict[str, None] = field(default_factory=dict)
    mixed: dict[str, None] = field(default_factory=dict)
    stories: set[int] = field(default_factory=set)
    marks: list[str] = field(default_factory=list)
    tooltip: str = ""
    count: int = 0

    def link(self, ends: tuple[str, str]) -> Link:
        """The one line that stands for all of them."""
        label = ", ".join(self.mixed or self.dtypes)
        stories = tuple(sorted(self.stories))
        return Link(*ends, label, bool(self.mixed), self.tooltip, self.count, stories, told(self.marks, self.count))


def links(scene: Scene, boxes: Mapping[str, Box]) -> tuple[list[Link], list[Box]]:
    """The links between the boxes, and the stubs that some of them start at."""
    made = _cut_outputs(scene, _bundled(scene, list(boxes)))
    graph, box_of = scene.flow.graph, scene.places.box_of
    trained = {
        box_of.get(edge.reader, "")
        for node in graph.stored()
        if node.op == "parameter"
        for edge in graph.readers(node.id)
    }
    return _cut_hubs(made, boxes, trained)


def _bundled(scene: Scene, order: Sequence[str]) -> list[Link]:
    flow, places, twins = scene.flow, scene.places, scene.folded.twins
    rank = {box: i for i, box in enumerate(order)}
    bundles: defaultdict[tuple[str, str], _Bundle] = defaultdict(_Bundle)
    reads = [(ref, node) for node in flow.graph for ref in node.operands()]
    for ref, reader in [*reads, *((ref, None) for ref in flow.graph.outputs)]:
        source = places.box_of.get(ref.id, "")
        target = places.box_of.get(reader.id, "") if reader else "output:"
        if not source or not target or source == target:
            continue
        if rank[source] > rank[target] and twins[ref.id] != ref.id:
            continue  # from one copy of a folded layer to the next: "x 40" says it
        _bundle(bundles[source, target], scene, ref, reader, to_op=places.kinds.get(target) == "op")
    ordered = sorted(bundles.items(), key=lambda item: (rank[item[0][0]], rank[item[0][1]]))
    return [bundle.link(ends) for ends, bundle in ordered]


def _bundle(bundle: _Bundle, scene: Scene, ref: Ref, reader: Node | None, to_op: bool) -> None:
    """Add one tensor to a bundle, and who reads it (None: the output); only a single operation mixes dtypes."""
    flow, twins = scene.flow, scene.folded.twins
    dtype, mixed = flow.dtype(ref), ""
    bundle.count += 1
    bundle.dtypes[short(dtype)] = None
    if reader:
        mixed = meeting(flow, reader.id, dtype) if to_op else ""
        bundle.stories.update(scene.interest.ways.get((twins[ref.id], twins[reader.id]), ()))
        if mark := scene.marks.edges.get((ref.id, reader.id)):
            bundle.marks.append(mark)
    if mixed:
        bundle.mixed[mixed] = None
    if mixed or not bundle.tooltip:
        node = flow.graph[ref.id]
        to = f" to {reader.name or reader.id} {reader.place}".rstrip() if reader else ""
        bundle.tooltip = f"{described(flow, node, ref.index, flow.graph.spec(ref))} from {node.name or node.id}{to}"


def _cut_outputs(scene: Scene, made: list[Link]) -> list[Link]:
    """Leave out the lines of caches and the like to the output, where there are many."""
    if sum(link.target == "output:" for link in made) <= RETURNED:
        return made
    main = scene.places.box_of.get(scene.flow.graph.outputs[0].id, "")
    return [link for link in made if link.target != "output:" or link.source == main]


def _cut_hubs(made: list[Link], boxes: Mapping[str, Box], trained: Set[str]) -> tuple[list[Link], list[Box]]:
    by_source: defaultdict[str, list[Link]] = defaultdict(list)
    fed = {link.target for link in made if _FLOATS & set(link.label.split(", "))} | trained
    for link in made:
        by_source[link.source].append(link)
    kept: list[Link] = []
    stubs: list[Box] = []
    for source, out in by_source.items():
        # a mask or a rotary table, made from no weights and no float, may have one line
        most = HUB if source in fed or boxes[source].stories or boxes[source].kind in _STORED else 1
        for i, link in enumerate(out):
            if i and len(out) > most and not link.stories and not link.mark:
                if not _FLOATS & set(link.label.split(", ")):
                    continue  # indices and masks of integers mix with nothing: their first reader says enough
                stub = replace(
                    boxes[source], id=f"{source} for {link.target}", path=boxes[link.target].path, stub=True,
                    details=(), findings=(), stories=(), code="", severity="", message="", mark="",
                )  # fmt: skip
                stubs.append(stub)
                link = replace(link, source=stub.id)
            kept.append(link)
    return kept, stubs


_STORED: Final = ("parameter", "buffer", "constant")
