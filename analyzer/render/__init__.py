"""Output formats: a suffix, and the pure function that turns a report into bytes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from analyzer.errors import AnalyzerError
from analyzer.render import dot, html, json, svg, txt
from analyzer.report import Report

FORMATS: Final[dict[str, Callable[[Report], bytes]]] = {
    ".svg": svg.render_svg,
    ".html": html.render,
    ".dot": dot.render,
    ".png": svg.render_png,
    ".pdf": svg.render_pdf,
    ".json": json.render,
    ".txt": txt.render,
}


def renderer(suffix: str) -> Callable[[Report], bytes]:
    """The renderer for a file's suffix; raises AnalyzerError for one that is not known."""
    if suffix.lower() not in FORMATS:
        raise AnalyzerError(f"no output format for '{suffix}'", hint=f"known are {', '.join(FORMATS)}")
    return FORMATS[suffix.lower()]
