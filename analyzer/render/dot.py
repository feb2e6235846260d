"""The picture as DOT: dtypes by fill and in words, faults by thick red borders, mixtures by thick labelled lines."""

from __future__ import annotations

from collections import Counter
from html import escape
from textwrap import wrap
from typing import Final

import graphviz

from analyzer.dtypes import DTYPES, short
from analyzer.report import Report
from analyzer.view import Box, Cluster, Link, View, overview

FILLS: Final = {
    "bfloat16": "#CFE8F7",
    "float16": "#BFE5D8",
    "float32": "#F6C65B",
    "float64": "#E7A9C8",
}
"""Tints of the colour-blind safe palette of Okabe and Ito; other dtypes by kind, below."""
KINDS: Final = {"int": "#F7F3B0", "bool": "#F7F3B0", "complex": "#D9CDE8", "float": "#F0D0B8"}
SHAPES: Final = {
    "parameter": "cylinder",
    "buffer": "cylinder",
    "constant": "note",
    "input": "invhouse",
    "output": "house",
    "stop": "octagon",
}
BORDERS: Final = {"error": ("#8B0000", "5"), "warning": ("#A65300", "3.5")}
MIXED: Final = "#C00000"
QUIET: Final = "#8A8A8A"
WIDTH: Final = 38
"""Characters of a message in one line of a box."""


def render(report: Report) -> bytes:
    """The DOT text of the overview; of a recipe's stages, that of the worst."""
    report = report.worst
    return draw(overview(report.flow, report.findings, report.coverage.never_entered), report).encode(
        "utf-8", "backslashreplace"
    )


def draw(view: View, report: Report) -> str:
    """DOT text of a view, with the report's legend."""
    graph = graphviz.Digraph("model")
    graph.attr(
        rankdir="TB", fontname="Helvetica", labelloc="t", fontsize="18", nodesep="0.2", ranksep="0.35", compound="true",
        label=escaped(_title(report)), tooltip=escaped(report.class_name or "model"), bgcolor="white",
    )  # fmt: skip
    graph.attr("node", fontname="Helvetica", fontsize="11", shape="box", style="rounded,filled", margin="0.12,0.06")
    graph.attr("edge", fontname="Helvetica", fontsize="9", color=QUIET, fontcolor="#555555", arrowsize="0.6")
    ids = _names(view)
    _cluster(graph, view.root, ids)
    for link in view.links:
        graph.edge(ids[link.source], ids[link.target], **_line(link))
    graph.subgraph(_legend(view, report))
    return str(graph.source)


def escaped(text: str) -> str:
    r"""A DOT label that shows `text` as it is: nothing in it is an escape or HTML.

    >>> escaped("a\\N <b>")
    'a\\\\N <b>'
    """
    shown = "".join(c if c.isprintable() or c == "\n" else f"\\x{ord(c):02x}" for c in text)
    shown = shown.replace("\\", "\\\\").replace("\n", "\\n").replace("&", "&amp;")
    # the graphviz package takes a text in angle brackets for HTML: a zero-width space keeps it a text
    return f"\u200b{shown}" if shown.startswith("<") and shown.endswith(">") else shown


def fill(dtype: str) -> str:
    """The fill colour of a dtype."""
    row = DTYPES.get(dtype)
    return FILLS.get(dtype) or KINDS.get(row.kind if row else "", "#EEEEEE")


def _title(report: Report) -> str:
    counts = Counter(finding.severity for finding in report.findings)
    found = [f"{counts[s]} {s}{'s' * (counts[s] != 1)}" for s in ("error", "warning") if counts[s]]
    stage = f", {report.plan.stage}" if report.plan.stage else ""
    early = " up to where the run stopped" if report.coverage.incomplete else ""
    return f"{report.class_name or 'model'}{stage}: {', '.join(found) or 'no precision fault found'}{early}"


def _names(view: View) -> dict[str, str]:
    """Box id -> name in DOT: no colon (a port, in DOT) and nothing that needs quotes."""
    names: dict[str, str] = {}
    for box in view.boxes:
        name = "".join(c if c.isascii() and (c.isalnum() or c in "_.") else "_" for c in box.id)
        while name in names.values():
            name += "_"
        names[box.id] = name
    return names


def _cluster(graph: graphviz.Digraph, cluster: Cluster, ids: dict[str, str]) -> None:
    for box in cluster.boxes:
        graph.node(ids[box.id], **_box(box))
    for inner in cluster.clusters:
        sub = graphviz.Digraph(f"cluster_{escaped(inner.id)}")
        sub.attr(
            label=escaped(inner.label), tooltip=escaped(inner.id), style="rounded", color="#B5B5B5", labeljust="l",
            fontname="Helvetica", fontsize="12", fontcolor="#444444", margin="10",
        )  # fmt: skip
        _cluster(sub, inner, ids)
        graph.subgraph(sub)


def _box(box: Box) -> dict[str, str]:
    lines = [box.label]
    if box.dtype and box.kind != "output":
        lines.append(short(box.dtype) if box.kind in ("op", "glue", "module") else f"{box.kind} {short(box.dtype)}")
    attrs = {"tooltip": escaped(box.tooltip or box.label), "class": box.kind, "fillcolor": fill(box.dtype)}
    attrs |= {"color": QUIET, "penwidth": "0.7", "shape": SHAPES.get(box.kind, "box")}
    if box.kind in SHAPES:
        attrs["style"] = "filled"
    if box.kind == "missed":
        attrs |= {"style": "rounded,dashed", "fontcolor": "#555555", "fontsize": "9"}
    if box.kind == "stop":
        lines = ["THE RUN STOPPED HERE", *wrap(box.label, WIDTH)[:6]]
        attrs |= {"color": "#000000", "penwidth": "3.5", "style": "dashed,filled", "fontsize": "14"}
    if box.kind == "glue" and not box.code:
        attrs |= {"fontsize": "9", "fontcolor": "#555555"}
    if box.stub:
        attrs |= {"style": "dashed,filled", "fontsize": "9"}
    if box.severity in BORDERS and not box.stub:
        color, width = BORDERS[box.severity]
        rim = [""] * (SHAPES.get(box.kind) == "cylinder")  # its upper arc would run through the first line
        lines = [*rim, f"{box.severity.upper()} {box.code}", *lines, *wrap(box.message, WIDTH)[:6]]
        attrs |= {"color": color, "penwidth": width, "margin": "0.25,0.1", "fontsize": "14"}
        attrs["class"] = f"{box.kind} finding {box.severity} {box.code}"
    return {"label": escaped("\n".join(lines)), **attrs}


def _line(link: Link) -> dict[str, str]:
    tooltip = escaped(f"{link.tooltip}\n{link.count} tensors" if link.count > 1 else link.tooltip)
    attrs = {"tooltip": tooltip, "labeltooltip": tooltip, "class": "link", "penwidth": "0.8"}
    if link.mixed:
        attrs |= {"color": MIXED, "penwidth": "3.5", "fontcolor": MIXED, "fontsize": "13"}
        attrs |= {"class": "link mixed", "arrowsize": "0.9"}
    return {"label": escaped(f"   {link.label} " if link.mixed else f" {link.label} "), **attrs}


def _legend(view: View, report: Report) -> graphviz.Digraph:
    used = sorted({box.dtype for box in view.boxes if box.dtype}, key=list(DTYPES).index)
    rows = [f'<TR><TD BGCOLOR="{fill(d)}">{short(d)}</TD><TD ALIGN="LEFT">{escape(d)}</TD></TR>' for d in used]
    rows.append(
        f'<TR><TD><FONT COLOR="{MIXED}"><B>f32 -&gt; bf16</B></FONT></TD><TD ALIGN="LEFT">dtypes meet here</TD></TR>'
    )
    facts = {"parameters": report.headline() or "none", "plan": report.plan.line()}
    for name, value in facts.items():
        text = '<BR ALIGN="LEFT"/>'.join(escape(_visible(line)) for line in wrap(value, 44)[:6])
        rows.append(f'<TR><TD>{name}</TD><TD ALIGN="LEFT">{text}<BR ALIGN="LEFT"/></TD></TR>')
    legend = graphviz.Digraph("cluster_legend")
    legend.attr(label="legend", style="rounded", color="#B5B5B5", fontname="Helvetica", fontsize="12", tooltip="legend")
    table = f'<<TABLE BORDER="0" CELLBORDER="0" CELLSPACING="3">{"".join(rows)}</TABLE>>'
    legend.node("legend", table, shape="plaintext", style="", tooltip="legend", fontsize="10", **{"class": "legend"})
    return legend


def _visible(text: str) -> str:
    return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in text)
