"""A difference as a picture: the model after, with what is new and what changed marked."""

from __future__ import annotations

from analyzer.render import dot
from analyzer.render.svg import layout
from analyzer.review.comparing import Difference
from analyzer.view import overview


def render_dot(difference: Difference) -> bytes:
    """DOT text of the first stage that differs."""
    stage = next((one for one in difference.stages if not one.empty), difference.stages[0])
    report = stage.after
    view = overview(report.flow, report.findings, report.coverage.never_entered)
    return dot.draw(view, report).encode("utf-8", "backslashreplace")


def render_svg(difference: Difference) -> bytes:
    """The same, laid out."""
    return layout(render_dot(difference), "svg")
