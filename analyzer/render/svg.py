"""Lays a picture out, always with an engine that pip installs, so that every machine writes the same bytes."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from html import unescape
from typing import Final

from analyzer.errors import AnalyzerError
from analyzer.render import dot
from analyzer.render.layout_engine import engine
from analyzer.render.lettering import width
from analyzer.report import Report

LIMIT: Final = 20.0
"""Seconds that a layout may take."""
_TEXT: Final = re.compile(r'(<text [^>]*font-size="([\d.]+)"[^>]*)>([^<]+)')
_TITLE: Final = re.compile(r'(<a [^>]*xlink:title="([^"]*)"[^>]*>)')
_DATE: Final = re.compile(rb"(?<=/CreationDate \(D:)\d{14}")
_PROGRAM: Final = (
    "import sys; sys.path[:] = [path for path in sys.path if path]; "  # the working directory may be a stranger's
    "import pygraphviz; "
    "sys.stdout.buffer.write(pygraphviz.AGraph(sys.stdin.buffer.read().decode()).draw(format=sys.argv[1], prog='dot'))"
)


def render_svg(report: Report) -> bytes:
    """The overview as SVG."""
    return fitted(layout(dot.render(report), "svg"))


def fitted(svg: bytes) -> bytes:
    """An SVG whose texts keep their boxes in another font, as each says how long it is, and whose titles are shown."""
    titled = _TITLE.sub(r"\1<title>\2</title>", svg.decode())  # browsers show elements, not xlink's attribute
    return _TEXT.sub(_with_length, titled).encode()


def _with_length(match: re.Match[str]) -> str:
    tag, size, text = match.groups()
    length = width(unescape(text), float(size))
    return f'{tag} textLength="{length:.1f}" lengthAdjust="spacingAndGlyphs">{text}' if length else match[0]


def render_png(report: Report) -> bytes:
    """The overview as PNG."""
    return layout(dot.render(report), "png")


def render_pdf(report: Report) -> bytes:
    """The overview as PDF, without the time of day that the engine writes into it."""
    return _DATE.sub(b"20000101000000", layout(dot.render(report), "pdf"))


def layout(source: bytes, kind: str, limit: float = LIMIT) -> bytes:
    """Lay DOT text out as svg, png or pdf, in a process of its own that can be stopped; raises AnalyzerError."""
    try:
        done = subprocess.run(
            _engine(kind),
            input=source,
            capture_output=True,
            timeout=limit,
            check=False,
            env={**os.environ, "TZ": "UTC"},
        )
    except subprocess.TimeoutExpired:
        raise AnalyzerError(
            f"the layout of the picture took longer than {limit:g} s", hint="write .dot, .json or .txt instead"
        ) from None
    except OSError as error:
        raise AnalyzerError(
            f"the layout engine could not be started: {error}", hint="pip install graphviz-pure pygraphviz"
        ) from error
    if done.returncode or not done.stdout:
        words = done.stderr.decode("utf-8", "replace").strip().splitlines() or ["no reason given"]
        raise AnalyzerError(f"the layout of the picture failed: {words[-1]}", hint="write .dot, .json or .txt instead")
    return done.stdout


def _engine(kind: str) -> list[str]:
    # The static binary brings its own fonts, so the bytes are the same everywhere; only PDF it cannot write.
    return [sys.executable, "-c", _PROGRAM, kind] if kind == "pdf" else [engine(), f"-T{kind}"]
