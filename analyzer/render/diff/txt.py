"""A difference as text, for people."""

from __future__ import annotations

from analyzer.diff.comparison import Difference
from analyzer.printable import logged, shown
from analyzer.render.diff.words import nothing, sections

MOST = 40
"""Lines of one section."""


def render(difference: Difference) -> bytes:
    """What differs, a line each, `-` for what is gone, `+` for what is new, `~` for what changed."""
    lines = [f"--- {difference.names[0]}", f"+++ {difference.names[1]}"]
    for stage in difference.stages:
        if stage.after.plan.stage:
            lines.append(f"@@ {stage.after.plan.stage} @@")
        for title, rows in sections(stage):
            lines += [f"{title}:", *(f"  {sign} {text}" for sign, text in rows[:MOST])]
            if len(rows) > MOST:
                lines.append(f"    {len(rows) - MOST} more")
    lines += filter(None, [nothing(difference)])
    text = logged("\n".join(shown(" ".join(line.split("\n"))) for line in lines))
    return f"{text}\n".encode("utf-8", "backslashreplace")
