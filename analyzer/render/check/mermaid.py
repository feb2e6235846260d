"""A folded picture as Mermaid text, within what GitHub renders."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import count
from typing import Final

from analyzer.escaping import as_mermaid
from analyzer.ir.dtypes import short
from analyzer.picture import Box, Cluster, Link, View

EDGES: Final = 250
"""Links in a picture; Mermaid refuses more than 280 in older versions, 500 in newer ones."""
CHARACTERS: Final = 30_000
"""Of text; Mermaid refuses more than 50,000, and a comment more than 65,536."""
_STYLES: Final = {
    "error": "stroke:#8B0000,stroke-width:5px",
    "warning": "stroke:#A65300,stroke-width:3px",
    "mixed": "stroke:#C00000,stroke-width:4px",
}


def draw(view: View) -> str:
    """The picture, or "" where it is beyond the limits: then it would be an error message in its place."""
    links = [link for link in view.links if link.source != link.target]
    if len(links) > EDGES:
        links = _near(view)
    ids = _names(view, links)
    arrows = [f"{ids[link.source]} {_arrow(link)} {ids[link.target]}" for link in links]
    lines = ["flowchart TD", *_cluster(view.root, ids, count()), *arrows, *_styled(view, links, ids)]
    text = "\n".join(lines) + "\n"
    return text if len(links) <= EDGES and len(text) <= CHARACTERS else ""


def _names(view: View, links: Sequence[Link]) -> dict[str, str]:
    """Box id -> name in Mermaid; where links were left out, only of the boxes at those that are kept."""
    ends = {end for link in links for end in (link.source, link.target)}
    every = len(links) >= len(view.links)
    return {box.id: f"n{i}" for i, box in enumerate(b for b in view.boxes if every or b.id in ends)}


def _arrow(link: Link) -> str:
    return f'== "{as_mermaid(link.label)}" ==>' if link.mixed else "-->"


def _styled(view: View, links: Sequence[Link], ids: Mapping[str, str]) -> Iterator[str]:
    """Lines that colour what was found and where dtypes meet."""
    for severity in ("error", "warning"):
        if flagged := [ids[b.id] for b in view.boxes if b.severity == severity and not b.stub and b.id in ids]:
            yield f"classDef {severity} {_STYLES[severity]}"
            yield f"class {','.join(flagged)} {severity}"
    if mixed := [str(i) for i, link in enumerate(links) if link.mixed]:
        yield f"linkStyle {','.join(mixed)} {_STYLES['mixed']}"


def _near(view: View) -> list[Link]:
    """The links at boxes with a finding, and the mixed ones."""
    flagged = {box.id for box in view.boxes if box.severity in _STYLES}
    return [link for link in view.links if link.mixed or {link.source, link.target} & flagged][:EDGES]


def _cluster(cluster: Cluster, ids: dict[str, str], numbers: Iterator[int]) -> Iterator[str]:
    for box in cluster.boxes:
        if box.id in ids:
            yield f'{ids[box.id]}["{_label(box)}"]'
    for inner in cluster.clusters:
        if any(box.id in ids for box in inner.all_boxes()):
            yield f'subgraph m{next(numbers)}["{as_mermaid(inner.label)}"]'
            yield from _cluster(inner, ids, numbers)
            yield "end"


def _label(box: Box) -> str:
    parts = [f"{box.severity.upper()} {box.code}"] if box.severity in _STYLES and not box.stub else []
    parts += ["THE RUN STOPPED HERE"] if box.kind == "stop" else []
    parts += [box.label, short(box.dtype) if box.dtype and box.kind != "output" else ""]
    return "<br/>".join(as_mermaid(part) for part in parts if part)
