"""A report in a notebook: findings in a table, then the picture."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from analyzer.errors import AnalyzerError
from analyzer.escaping import as_html
from analyzer.render.svg import render_svg
from analyzer.render.words import story, totals
from analyzer.report import Report

LISTED: Final = ("error", "warning")


def html(report: Report) -> str:
    """An HTML fragment without scripts; where the picture cannot be laid out, it says so."""
    rows = "".join(_row(index, report) for index, f in enumerate(report.findings) if f.severity in LISTED)
    table = f"<table>{rows}</table>" if rows else ""
    try:
        picture = svg(report)
    except AnalyzerError as error:
        picture = f"<p>{as_html(str(error))}</p>"
    head = f"<p><b>{as_html(report.class_name or 'model')}</b>: {as_html(totals(report))}</p>"
    head += f"<p>incomplete: {as_html(report.incomplete)}</p>" if report.incomplete else ""
    return f'<div class="analyzer-report">{head}{table}<div style="overflow:auto">{picture}</div></div>'


def svg(report: Report) -> str:
    """The picture alone, without the head of a file. Raises AnalyzerError if it cannot be laid out."""
    text = render_svg(report).decode("utf-8")
    return text[text.index("<svg") :]


def _row(index: int, report: Report) -> str:
    finding = report.findings[index]
    lines = "<br>".join(as_html(line) for line in story(finding))
    where = f"<td>#{index + 1} {as_html(finding.severity)}<br>{as_html(finding.code)}</td>"
    return f'<tr>{where}<td style="text-align:left">{lines}</td></tr>'


DISPLAYS: Final[dict[str, Callable[[Report], str]]] = {"html": html, "svg": svg}
"""What `Report` shows in a notebook, by kind."""
