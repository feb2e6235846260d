"""Folds a graph for the eye: identical layers once, only what is mixed opened, hubs cut into stubs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Final

from analyzer.ir.findings import Finding, Unentered
from analyzer.picture.boxes import Scene, boxes, missed, module_label
from analyzer.picture.focus import attempts, check, pruned
from analyzer.picture.folding import Folded, fold
from analyzer.picture.interest import Interest, interest
from analyzer.picture.links import links
from analyzer.picture.marks import UNMARKED, Marks
from analyzer.picture.parts import Box, Caption, Cluster, Link, View
from analyzer.picture.placement import DetailLevel, place
from analyzer.picture.reading import Reading
from analyzer.picture.view_options import PLAIN, Look

__all__ = ["PLAIN", "Box", "Caption", "Cluster", "Link", "Look", "Marks", "View", "check", "overview"]

MOST: Final = 150
"""Boxes in an overview."""
TOLD: Final = 50
"""Boxes of a picture that tells a fault and shows the parts of modules that have none."""
MISSED: Final = 8
"""Boxes for modules that the run never entered."""
MARKED: Final = 3
"""Marked nodes that are drawn for each fault that an effort draws."""
EFFORTS: Final = (
    DetailLevel(6, 99, 8, True),
    DetailLevel(6, 99, 2, True),
    DetailLevel(6, 99, 2, False),
    DetailLevel(6, 3, 2, False),
    DetailLevel(6, 2, 1, False),
    DetailLevel(4, 1, 1, False),
    DetailLevel(1, 0, 1, False),
    DetailLevel(0, -1, 1, False),
)
"""From the fullest picture to one box; the first that has at most MOST boxes is shown."""
CLOSE: Final = DetailLevel(6, 99, 8, False)
"""For a picture in focus."""


def overview(
    flow: Reading,
    findings: Iterable[Finding],
    never_entered: Sequence[Unentered] = (),
    look: Look = PLAIN,
    versions: Mapping[str, str] | None = None,
    marks: Marks = UNMARKED,
) -> View:
    """Make the picture of a model that a person can read: at most 150 boxes, whatever its size.

    Of the modules that the run never entered, MISSED at most are closed boxes that nothing leads to.
    Marked nodes have boxes of their own as far as there is room.
    With a focus, only that neighbourhood is drawn; what `focus.check` refuses must not be asked for.
    """
    found, folded = tuple(findings), fold(flow)
    href = partial(look.href, versions=versions or {})
    for effort, seen in _attempts(flow, found, folded, look, marks):
        scene = Scene(flow, found, folded, seen, place(flow, folded, seen, effort), href, marks)
        view = _draw(scene, never_entered[:MISSED])
        if look.focus or look.finding:
            view = pruned(view, seen, look, folded)
        if len(view.boxes) <= (TOLD if effort.parts and seen.faults else MOST):
            break
    return view


def _attempts(
    flow: Reading, findings: Sequence[Finding], folded: Folded, look: Look, marks: Marks
) -> Iterator[tuple[DetailLevel, Interest]]:
    if look.focus or look.finding:
        yield from ((CLOSE, seen) for seen in attempts(flow, findings, folded, look))
        return
    for effort in EFFORTS:
        seen = interest(flow, findings, folded, effort.faults)
        seen.drawn.update(dict.fromkeys(marks.drawn(folded.twins, MARKED * effort.faults)))
        yield effort, seen


def _draw(scene: Scene, never_entered: Sequence[Unentered]) -> View:
    made = boxes(scene)
    joined, stubs = links(scene, made)
    apart = [missed(one, set(scene.places.clusters.values())) for one in never_entered]
    return View(_nest([*made.values(), *stubs, *apart], scene.folded), tuple(joined))


def _nest(made: Sequence[Box], folded: Folded) -> Cluster:
    inside: dict[tuple[str, ...], list[Box]] = {(): []}
    for box in made:
        for depth in range(len(box.path) + 1):
            inside.setdefault(box.path[:depth], [])
        inside[box.path].append(box)

    def cluster(path: tuple[str, ...]) -> Cluster:
        children = tuple(cluster(other) for other in inside if other[:-1] == path and other != path)
        label = module_label(folded, path[-1], path[-2] if len(path) > 1 else "") if path else ""
        return Cluster(path[-1] if path else "", label, tuple(inside[path]), children)

    return cluster(())
