"""Output formats of a report: a suffix, and the pure function that turns a report into bytes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from analyzer.errors import AnalyzerError
from analyzer.render.formats import Format

if TYPE_CHECKING:
    from analyzer.report import Report

FORMATS: Final[dict[str, Format[Report]]] = {
    ".svg": Format("analyzer.render.svg:render_svg"),
    ".html": Format("analyzer.render.html:render"),
    ".dot": Format("analyzer.render.dot:render"),
    ".png": Format("analyzer.render.svg:render_png"),
    ".pdf": Format("analyzer.render.svg:render_pdf"),
    ".json": Format("analyzer.render.json:render"),
    ".txt": Format("analyzer.render.txt:render"),
}


def renderer(suffix: str) -> Callable[[Report], bytes]:
    """The renderer for a file's suffix; raises AnalyzerError for one that is not known."""
    if suffix.lower() not in FORMATS:
        raise AnalyzerError(f"no output format for '{suffix}'", hint=f"known are {', '.join(FORMATS)}")
    return FORMATS[suffix.lower()]
