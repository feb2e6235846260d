"""The whole graph in text form, unfolded."""

from __future__ import annotations

from analyzer.ir.text import print_graph
from analyzer.printable import logged, shown
from analyzer.report import Report


def render(report: Report) -> bytes:
    """The graph, one node a line; of a recipe's stages, that of the worst. A run that stopped early says so first."""
    early = f"# incomplete: {shown(report.incomplete)}\n" if report.incomplete else ""
    return logged(f"{early}{print_graph(report.worst.graph)}").encode("utf-8", "backslashreplace")
