"""Formats of a difference: a suffix, and the pure function that turns it into bytes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from analyzer.diff.comparison import Difference
from analyzer.render.diff import json, markdown, txt
from analyzer.render.diff.picture import render_dot, render_svg

FORMATS: Final[dict[str, Callable[[Difference], bytes]]] = {
    ".svg": render_svg,
    ".dot": render_dot,
    ".md": markdown.render,
    ".json": json.render,
    ".txt": txt.render,
}
