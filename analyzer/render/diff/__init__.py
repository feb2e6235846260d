"""Formats of a difference: a suffix, and the pure function that turns it into bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from analyzer.render.formats import Format

if TYPE_CHECKING:
    from analyzer.diff.comparison import Difference

FORMATS: Final[dict[str, Format[Difference]]] = {
    ".svg": Format("analyzer.render.diff.picture:render_svg"),
    ".dot": Format("analyzer.render.diff.picture:render_dot"),
    ".md": Format("analyzer.render.diff.markdown:render"),
    ".json": Format("analyzer.render.diff.json:render"),
    ".txt": Format("analyzer.render.diff.txt:render"),
}
