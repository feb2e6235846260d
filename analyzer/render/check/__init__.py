"""Formats of a check: a name, and the pure function that turns a judgement into bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from analyzer.render.formats import Format

if TYPE_CHECKING:
    from analyzer.check.judgement import Check

FORMATS: Final[dict[str, Format[Check]]] = {
    "text": Format("analyzer.render.check.text:render"),
    "sarif": Format("analyzer.render.check.sarif:render", carries_edits=True),
    "github": Format("analyzer.render.check.github:render"),
    "gitlab": Format("analyzer.render.check.gitlab:render"),
    "junit": Format("analyzer.render.check.junit:render"),
    "markdown": Format("analyzer.render.check.markdown:render", carries_edits=True),
    "json": Format("analyzer.render.check.json:render", carries_edits=True),
}
