"""What a laid-out SVG shows, as rectangles and lines, and what of it lies on what it should not."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from xml.etree import ElementTree

from analyzer.render.lettering import width

SVG = "{http://www.w3.org/2000/svg}"
TITLE = "{http://www.w3.org/1999/xlink}title"
_NUMBER = re.compile(r"-?[\d.]+(?:e-?\d+)?")
SLACK = 1.0
"""Points that may be lost to rounding."""


@dataclass(frozen=True)
class Rect:
    left: float
    top: float
    right: float
    bottom: float

    def meets(self, other: Rect, slack: float = SLACK) -> bool:
        across = min(self.right, other.right) - max(self.left, other.left)
        return across > slack and min(self.bottom, other.bottom) - max(self.top, other.top) > slack

    def holds(self, x: float, y: float, slack: float = SLACK) -> bool:
        return self.left + slack < x < self.right - slack and self.top + slack < y < self.bottom - slack


@dataclass(frozen=True)
class Text:
    words: str
    at: Rect


@dataclass(frozen=True)
class Picture:
    boxes: dict[str, tuple[Rect, list[Text]]]
    lines: dict[tuple[str, str], list[tuple[float, float]]]
    labels: list[Text]
    """Those of lines and of open modules."""

    def faults(self) -> Iterator[str]:
        """Every law that is broken, in words."""
        for (a, (first, _)), (b, (second, _)) in combinations(self.boxes.items(), 2):
            if first.meets(second):
                yield f"box {a} lies on box {b}"
        for name, (box, texts) in self.boxes.items():
            for text in texts:
                if text.at.left < box.left or text.at.right > box.right:
                    yield f"{text.words!r} is wider than box {name}"
            for ends, points in self.lines.items():
                if name not in ends and any(box.holds(*point) for point in points):
                    yield f"line {ends} goes through box {name}"
        every = [*self.labels, *(text for _, texts in self.boxes.values() for text in texts)]
        for one, other in combinations(every, 2):
            if one.at.meets(other.at):
                yield f"{one.words!r} lies on {other.words!r}"
        for label in self.labels:
            for name, (box, _) in self.boxes.items():
                if label.at.meets(box):
                    yield f"{label.words!r} lies on box {name}"


def read(svg: bytes) -> Picture:
    boxes: dict[str, tuple[Rect, list[Text]]] = {}
    lines: dict[tuple[str, str], list[tuple[float, float]]] = {}
    labels: list[Text] = []
    for group in ElementTree.fromstring(svg).iter(f"{SVG}g"):
        kind = (group.get("class") or "").split(" ")[0]
        name = group.findtext(f"{SVG}title") or ""
        texts = [_text(e) for e in group.iter(f"{SVG}text")]
        shapes = [e for e in group.iter() if e.tag in (f"{SVG}polygon", f"{SVG}path")]
        if kind == "node":
            points = [point for shape in shapes for point in _points(shape)]
            xs, ys = [x for x, _ in points], [y for _, y in points]
            boxes[name] = (Rect(min(xs), min(ys), max(xs), max(ys)), texts)
        elif kind == "edge":
            source, _, target = name.partition("->")
            lines[source, target] = list(_along(_points(shapes[0])))
            labels += texts
        elif kind == "cluster":
            labels += texts
    return Picture(boxes, lines, labels)


def _text(element: ElementTree.Element) -> Text:
    size, x, y = (float(element.get(key) or 0) for key in ("font-size", "x", "y"))
    words = element.text or ""
    long = width(words, size)
    left = x - {"middle": long / 2, "end": long}.get(element.get("text-anchor") or "", 0)
    return Text(words, Rect(left, y - 0.72 * size, left + long, y + 0.2 * size))


def _points(shape: ElementTree.Element) -> list[tuple[float, float]]:
    numbers = [float(n) for n in _NUMBER.findall(shape.get("points") or shape.get("d") or "")]
    return list(zip(numbers[::2], numbers[1::2], strict=True))


def _along(knots: list[tuple[float, float]]) -> Iterator[tuple[float, float]]:
    """Points on a line of cubic Bezier pieces."""
    for i in range(0, len(knots) - 3, 3):
        a, b, c, d = knots[i : i + 4]
        for step in range(17):
            t = step / 16
            w = ((1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t * t * (1 - t), t**3)
            x, y = (sum(k * p[axis] for k, p in zip(w, (a, b, c, d), strict=True)) for axis in (0, 1))
            yield x, y
