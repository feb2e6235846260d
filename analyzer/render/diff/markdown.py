"""A difference as Markdown, for a comment on a pull request."""

from __future__ import annotations

from typing import Final

from analyzer.diff.comparison import Difference
from analyzer.escaping import as_markdown, as_markdown_block
from analyzer.render.check.markdown import MOST, fitting
from analyzer.render.diff.words import nothing, sections

OPEN = ("findings", "runs", "memory")
"""Sections that are not folded."""
SECTION: Final = 12_000
"""Characters of a section."""


def render(difference: Difference) -> bytes:
    """One list or folded block for each section."""
    text = f"### analyze diff\n\n{as_markdown(difference.names[0])} -> {as_markdown(difference.names[1])}\n\n"
    if said := nothing(difference):
        text += f"{said[0].upper()}{said[1:]}.\n"
    for stage in difference.stages:
        if stage.after.plan.stage:
            text += f"#### {as_markdown(stage.after.plan.stage)}\n\n"
        for title, rows in sections(stage):
            block = as_markdown_block(
                "\n".join(_some([f"{sign} {' '.join(words.split())}" for sign, words in rows])), "diff"
            )
            head = f"{title} ({len(rows)})"
            part = f"**{head}**\n\n{block}\n" if title in OPEN else _folded(head, block)
            text += part if len(text) + len(part) < MOST else f"{head}: too many to show here\n\n"
    return text.encode("utf-8", "backslashreplace")


def _some(lines: list[str]) -> list[str]:
    """As many lines as there is room for in one section; the last says how many there are more."""
    kept = fitting(lines, SECTION)
    return [*kept, f"{len(lines) - len(kept)} more"] if len(kept) < len(lines) else kept


def _folded(head: str, block: str) -> str:
    return f"<details><summary>{head}</summary>\n\n{block}\n</details>\n\n"
