"""Formats of a difference: a suffix, and the pure function that turns it into bytes."""

from __future__ import annotations

from typing import Final

from analyzer.render.formats import Format

FORMATS: Final[dict[str, Format]] = {
    ".svg": Format("analyzer.render.diff.picture:render_svg"),
    ".dot": Format("analyzer.render.diff.picture:render_dot"),
    ".md": Format("analyzer.render.diff.markdown:render"),
    ".json": Format("analyzer.render.diff.json:render"),
    ".txt": Format("analyzer.render.diff.txt:render"),
}
