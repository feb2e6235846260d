"""A check as Markdown, for a comment on a pull request: a table, a picture, folded details."""

from __future__ import annotations

from itertools import accumulate
from typing import Final

from analyzer.check import Check, Judged
from analyzer.escaping import as_markdown, as_markdown_block
from analyzer.picture import overview
from analyzer.render.check.mermaid import draw
from analyzer.render.check.words import early, headline, message, pages, remarks, title
from analyzer.render.fixes import unified

MOST: Final = 60_000
"""Characters; GitHub takes 65,536 in a comment."""
ROWS: Final = 50
CELL: Final = 240
"""Characters of a cell, a remark or a title, before those that mean something to Markdown are written as numbers."""
TABLE: Final = 20_000
"""Characters of the table; the picture has a limit of its own."""
REMARKS: Final = 5_000


def render(check: Check) -> bytes:
    """What a bot posts; details that would be too much for a comment are left out, and that is said."""
    head = f"### analyze: {headline(check)} in {_code(check.folder or check.report.class_name)}\n\n"
    head += "".join(f"- {_short(one.plan.line())}\n" for one in check.report.stages) + "\n"
    head += f"> **{_short(early(check))}**\n\n" if check.incomplete else ""
    said = _some([f"> {_short(text)}\n\n" for text in remarks(check)], "remarks", REMARKS)
    text = head + _table(check) + said
    report = check.report.worst
    picture = draw(overview(report.flow, report.findings, report.coverage.never_entered)) if check.shown else ""
    if picture and len(text) + len(picture) < MOST:
        text += f"```mermaid\n{picture}```\n\n"
    for number, one in enumerate(check.shown):
        details = _details(one)
        if len(text) + len(details) > MOST:
            text += f"Details of {len(check.shown) - number} more findings are left out; see the other formats.\n"
            break
        text += details
    return text.encode("utf-8", "backslashreplace")


def _table(check: Check) -> str:
    if not check.shown:
        return "Nothing found before the run stopped.\n\n" if check.incomplete else "Nothing found.\n\n"
    return "| | finding | where | what | fix |\n|---|---|---|---|---|\n" + _some(
        [_row(one) for one in check.shown], "findings", TABLE
    )


def _row(one: Judged) -> str:
    fix = next((fix.what for fix in one.finding.fixes if fix.proved), "")
    fix = fix or (f"cast at {one.edit.file}:{one.edit.line}" if one.edit else "")
    place = f"{one.spot.path}:{one.spot.line}"
    module = f" in {_short(one.finding.module)}" if one.finding.module else ""
    kind = f"{one.state} {one.finding.severity}"
    kind = f"**{kind}**" if one.state == "new" else kind
    cells = (kind, _short(title(one)), _short(place) + module, _short(one.finding.message), _short(fix))
    return f"| {' | '.join(cells)} |\n"


def _some(lines: list[str], what: str, most: int) -> str:
    """As many of the lines as there is room for; how many there are more."""
    kept = fitting(lines, most)[:ROWS]
    more = f"\n{len(lines) - len(kept)} more {what} are not listed.\n" if len(kept) < len(lines) else ""
    return "".join(kept) + f"{more}\n"


def fitting(lines: list[str], most: int) -> list[str]:
    """The first of the lines, as many as have `most` characters together."""
    return [line for line, size in zip(lines, accumulate(map(len, lines)), strict=True) if size <= most]


def _details(one: Judged) -> str:
    page = pages().get(one.finding.code, ("", ""))[1].split("\n\n")
    parts = [
        f"<details><summary>{as_markdown(title(one))} at {as_markdown(f'{one.spot.path}:{one.spot.line}')}</summary>\n"
    ]
    if one.finding.source:
        parts.append(as_markdown_block(one.finding.source, "python"))
    parts.append(as_markdown_block(message(one)))
    if one.edit is not None:
        parts.append(as_markdown_block(unified(one.edit), "diff"))
    parts += [as_markdown(" ".join(part.split())) + "\n" for part in page[:2] if not part.startswith("    ")]
    return "\n".join([*parts, "</details>\n\n"])


def _code(text: str) -> str:
    return f"<code>{_short(text)}</code>"


def _short(text: str) -> str:
    return as_markdown(text if len(text) <= CELL else f"{text[:CELL]} ...")
