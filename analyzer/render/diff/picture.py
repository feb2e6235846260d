"""A difference as a picture: the model after, with what is new and what changed marked."""

from __future__ import annotations

from analyzer.render import dot
from analyzer.render.svg import fitted, layout
from analyzer.review.comparing import Difference


def render_dot(difference: Difference) -> bytes:
    """DOT text of the first stage that differs."""
    stage = next((one for one in difference.stages if not one.empty), difference.stages[0])
    return dot.draw(dot.picture(stage.after), dot.caption(stage.after)).encode("utf-8", "backslashreplace")


def render_svg(difference: Difference) -> bytes:
    """The same, laid out."""
    return fitted(layout(render_dot(difference), "svg"))
