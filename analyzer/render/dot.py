"""The picture as DOT: a fault and the way to it stand out by width, size and words, all else recedes."""

from __future__ import annotations

from collections import Counter
from textwrap import wrap
from typing import Final

import graphviz

from analyzer.escaping import as_dot, as_html
from analyzer.ir.dtypes import DTYPES, short
from analyzer.picture import Box, Caption, Cluster, Link, View, overview
from analyzer.render.palette import FAINT, MARKED, MIXED, QUIET, RIMS, tint
from analyzer.render.words import PARTIAL
from analyzer.report import Report

SHAPES: Final = {
    "parameter": "cylinder",
    "buffer": "cylinder",
    "constant": "note",
    "input": "invhouse",
    "output": "house",
    "stop": "octagon",
}
WIDTH: Final = 38
"""Characters of a message in one line of a box."""
LONG: Final = 30
"""Characters of a name in one line."""
WIDE: Final = 96
"""Characters of a line over the picture."""


def render(report: Report) -> bytes:
    """The DOT text of the overview; of a recipe's stages, that of the worst."""
    return draw(picture(report.worst), caption(report.worst, report)).encode("utf-8", "backslashreplace")


def picture(report: Report) -> View:
    """The view of a report, as its look asks for."""
    coverage = report.coverage
    return overview(report.flow, report.findings, coverage.never_entered, report.look, report.versions)


def caption(report: Report, whole: Report | None = None) -> Caption:
    """What was traced, under which plan, and how many faults it has.

    Of `whole`, whose stage the report is, it says which other stage stopped early.
    """
    counts = Counter(finding.severity for finding in report.findings)
    found = [f"{counts[s]} {s}{'s' * (counts[s] != 1)}" for s in ("error", "warning") if counts[s]]
    stage = f", {report.plan.stage}" if report.plan.stage else ""
    early = report.coverage.incomplete
    look = report.look
    part = f", {look.focus}" if look.focus else f", finding #{look.finding}" if look.finding else ""
    words = ", ".join(found) or ("nothing found" if early else "no precision fault found")
    verdict = f"{PARTIAL}, the run stopped early: {words} so far" if early else words
    facts = {"parameters": report.headline() or "none", "plan": report.plan.line()}
    if stopped := early or (whole.incomplete if whole else ""):
        facts["incomplete"] = stopped
    return Caption(f"{report.class_name or 'model'}{part}{stage}: {verdict}", tuple(facts.items()))


def draw(view: View, over: Caption) -> str:
    """DOT text of a view, with its caption and legend."""
    graph = graphviz.Digraph("model")
    graph.attr(
        rankdir="TB", fontname="Helvetica", labelloc="t", labeljust="l", fontsize="11", nodesep="0.15", ranksep="0.3",
        label=_caption(view, over), tooltip=as_dot(over.title), bgcolor="white",
    )  # fmt: skip
    graph.attr("node", fontname="Helvetica", fontsize="11", shape="box", style="rounded,filled", margin="0.1,0.05",
               height="0.2", width="0.3")  # fmt: skip
    graph.attr("edge", fontname="Helvetica", fontsize="9", color=QUIET, fontcolor=FAINT, arrowsize="0.6")
    ids = names(view)
    _cluster(graph, view.root, ids)
    boxes = {box.id: box for box in view.boxes}
    for number, link in enumerate(view.links):
        graph.edge(ids[link.source], ids[link.target], id=f"link{number}", **_line(link, boxes[link.source]))
    return str(graph.source)


def names(view: View) -> dict[str, str]:
    """Box id -> name in DOT: no colon (a port, in DOT) and nothing that needs quotes."""
    found: dict[str, str] = {}
    taken: set[str] = set()
    for box in view.boxes:
        name = "".join(c if c.isascii() and (c.isalnum() or c in "_.") else "_" for c in box.id)
        while name in taken:
            name += "_"
        taken.add(name)
        found[box.id] = name
    return found


def _cluster(graph: graphviz.Digraph, cluster: Cluster, ids: dict[str, str]) -> None:
    for box in cluster.boxes:
        graph.node(ids[box.id], **_box(box, ids[box.id]))
    for inner in cluster.clusters:
        sub = graphviz.Digraph(f"cluster_{as_dot(inner.id)}")
        sub.attr(
            label=as_dot(inner.label), tooltip=as_dot(inner.id), style="rounded", color="#C4C4C4", labeljust="l",
            fontname="Helvetica", fontsize="11", fontcolor=FAINT, margin="8", penwidth="0.8",
        )  # fmt: skip
        if inner.href:
            sub.attr(URL=as_dot(inner.href))
        _cluster(sub, inner, ids)
        graph.subgraph(sub)


def _box(box: Box, name: str) -> dict[str, str]:
    told = bool(box.stories) and not box.stub
    colors = tint(box.dtype)
    attrs = {"id": name, "tooltip": as_dot(box.tooltip or box.label), "class": " ".join(_classes(box))}
    attrs |= {"fillcolor": colors.full if told else colors.pale, "color": QUIET, "penwidth": "0.6"}
    attrs |= _frame(box)
    if box.href:
        attrs |= {"URL": as_dot(box.href)} | ({} if box.href.startswith("#") else {"target": "_blank"})
    if told:
        attrs |= {"color": colors.line, "penwidth": "1.6", "fontsize": "12"}
    elif box.kind != "module":
        attrs |= {"fontsize": "9", "fontcolor": FAINT}
    if box.severity:
        rim = RIMS[box.severity]
        attrs |= {"color": rim.color, "penwidth": str(rim.width if box.message else rim.width / 2)}
    if box.message:
        attrs |= {"margin": "0.2,0.1", "fontsize": "14", "fontcolor": "black"}
    if box.mark:
        attrs |= {"peripheries": "2", "fontsize": "13", "fontcolor": "black"}
        attrs |= {} if box.severity else {"color": MARKED, "penwidth": "2.5"}
    if box.kind == "stop":
        attrs |= {"color": "black", "penwidth": "3.5", "style": "dashed,filled", "fontsize": "14", "fontcolor": "black"}
    return {"label": as_dot("\n".join(_lines(box))), **attrs}


def _frame(box: Box) -> dict[str, str]:
    frame = {"shape": SHAPES.get(box.kind, "box")}
    if box.stub:
        frame["style"] = "dashed,filled"
    elif box.kind == "missed":
        frame["style"] = "rounded,dashed"
    elif box.kind in SHAPES:
        frame["style"] = "filled"
    return frame


def _classes(box: Box) -> list[str]:
    found = ["finding", box.severity, _word(box.code)] if box.severity else []
    return [box.kind, *found, *["marked"] * bool(box.mark), *(f"story{number}" for number in box.stories)]


def _word(text: str) -> str:
    return "".join(c if c.isascii() and (c.isalnum() or c in "_-") else "_" for c in text)


def _lines(box: Box) -> list[str]:
    dtype = short(box.dtype) if box.dtype and box.kind != "output" else ""
    raised = bool(box.stories or box.mark)
    rim = [""] * (SHAPES.get(box.kind) == "cylinder" and raised)  # its upper arc would cross the first line
    rim += [f"~ {box.mark} ~"] * bool(box.mark)
    if box.message:
        head = f"{_numbers(box)}  {box.severity.upper()} {box.code}"
        on = [f"goes on as {dtype}"] if dtype and box.kind == "op" else [f"{box.kind} {dtype}"] if dtype else []
        return [*rim, head, box.label, *box.details, *wrap(box.message, WIDTH)[:6], *on]
    if box.kind == "stop":
        return ["THE RUN STOPPED HERE", *wrap(box.label, WIDTH)[:6]]
    if dtype and box.kind not in ("op", "glue", "module"):
        dtype = f"{box.kind} {dtype}"
    lines = [
        *rim,
        _broken(box.label),
        *([dtype] if dtype else []),
        *(line for text in box.details for line in wrap(text, WIDTH, break_long_words=False)[:2]),
    ]
    return [*lines, f"{_numbers(box)} {box.severity}"] if box.severity else lines


def _broken(name: str) -> str:
    """A dotted name of a stored tensor, in two lines where it would make its box, and the picture, wide."""
    dots = [i + 1 for i, c in enumerate(name) if c == "." and " " not in name]
    if len(name) <= LONG or not dots:
        return name
    middle = min(dots, key=lambda i: abs(i - len(name) / 2))
    return f"{name[:middle]}\n{name[middle:]}"


def _numbers(box: Box) -> str:
    more = ", ..." if len(box.findings) > 3 else ""
    return "#" + ", ".join(map(str, box.findings[:3])) + more


def _line(link: Link, source: Box) -> dict[str, str]:
    tooltip = as_dot(f"{link.tooltip}\n{link.count} tensors" if link.count > 1 else link.tooltip)
    told = " ".join(f"story{number}" for number in link.stories)
    attrs = {"tooltip": tooltip, "labeltooltip": tooltip, "class": f"link {told}".strip(), "penwidth": "0.7"}
    label = link.label if told or link.label != short(source.dtype) else ""
    if told:
        color = tint(source.dtype).line
        attrs |= {"penwidth": "2.5", "arrowsize": "0.8", "color": color, "fontcolor": color, "fontsize": "12"}
        attrs |= {"weight": "20"}
    if link.mixed:
        attrs |= {
            "color": MIXED,
            "penwidth": "4",
            "fontcolor": MIXED,
            "fontsize": "14",
            "class": f"{attrs['class']} mixed",
        }
        attrs |= {"arrowsize": "0.9"}
    if link.mark:
        label = f"{link.label}, {link.mark}"
        attrs |= {"style": "dashed", "penwidth": "3", "fontsize": "13", "class": f"{attrs['class']} marked"}
        attrs |= {} if link.mixed else {"color": MARKED, "fontcolor": MARKED}
    room = "     " if link.mixed else " "  # another line to the same fault passes beside the words
    return {"label": as_dot(f"  {label}{room}") if label else "", **attrs}


def _caption(view: View, over: Caption) -> str:
    order = {name: i for i, name in enumerate(DTYPES)}
    used = sorted({box.dtype for box in view.boxes if box.dtype}, key=lambda d: (order.get(d, len(order)), d))
    cells = [
        f'<TD BGCOLOR="{tint(d).full}" STYLE="ROUNDED">{as_html(short(d))}</TD><TD>{as_html(d)}</TD>' for d in used
    ]
    if met := [link.label for link in view.links if link.mixed]:
        cells.append(f'<TD><FONT COLOR="{MIXED}"><B>{as_html(met[0])}</B></FONT></TD><TD>dtypes meet here</TD>')
    if any(box.mark for box in view.boxes) or any(link.mark for link in view.links):
        cells.append(
            f'<TD><FONT COLOR="{MARKED}"><B>~ new ~</B></FONT></TD><TD>differs from before: double or dashed</TD>'
        )
    rows = [f'<TR><TD ALIGN="LEFT"><FONT POINT-SIZE="18">{as_html(over.title, "")}</FONT></TD></TR>']
    for name, value in over.facts:
        lines = [as_html(line, "") for line in wrap(f"{name}: {value}", WIDE)[:4]]
        text = "".join(f'{line}<BR ALIGN="LEFT"/>' for line in lines)
        rows.append(f'<TR><TD ALIGN="LEFT" BALIGN="LEFT">{text}</TD></TR>')
    rows.append(
        '<TR><TD ALIGN="LEFT"><TABLE BORDER="0" CELLBORDER="0" CELLSPACING="4" CELLPADDING="2">'
        f"<TR>{''.join(cells)}</TR></TABLE></TD></TR>"
        if cells
        else ""
    )
    return f'<<TABLE BORDER="0" CELLBORDER="0" CELLSPACING="1">{"".join(rows)}</TABLE>>'
