"""A difference as a picture: the model after, with what is new and what changed marked."""

from __future__ import annotations

from collections.abc import Iterator

from analyzer.diff.comparison import Difference, Stage
from analyzer.ir.dtypes import short
from analyzer.ir.graph import Ref
from analyzer.picture import Caption, Marks, overview
from analyzer.render import dot
from analyzer.render.diff import words
from analyzer.render.svg import fitted, layout


def render_dot(difference: Difference) -> bytes:
    """DOT text of the first stage that differs."""
    stage = next((one for one in difference.stages if not one.empty), difference.stages[0])
    return draw(stage, difference.names).encode("utf-8", "backslashreplace")


def render_svg(difference: Difference) -> bytes:
    """The same, laid out."""
    return fitted(layout(render_dot(difference), "svg"))


def draw(stage: Stage, names: tuple[str, str]) -> str:
    """DOT text of one stage; what only the model before has stands in the caption."""
    report = stage.after
    marks = Marks(dict(_nodes(stage)), dict(_edges(stage)))
    missed = report.coverage.never_entered
    view = overview(report.flow, report.findings, missed, report.look, report.versions, marks)
    gone = [text for title, rows in words.sections(stage) for sign, text in rows if sign == "-"]
    same = " (no difference so far)" if any(stage.stops) else " (no difference)"
    changed = f"{names[0]} -> {names[1]}" + (same if stage.empty else "")
    others = {"renamed": [words.renamed(one) for one in stage.renamed], "gone": gone}
    facts = [("difference", changed), *((name, "; ".join(texts)) for name, texts in others.items() if texts)]
    over = dot.caption(report)
    return dot.draw(view, Caption(over.title, (*facts, *over.facts)))


def _nodes(stage: Stage) -> Iterator[tuple[str, str]]:
    for old_id, new_id in stage.matched.pairs:
        before, after = _gives(stage, old_id, new_id)
        if before != after:
            yield new_id, f"was {short(before)}"
    for node_id in stage.matched.new:
        yield node_id, "new"
    for finding in stage.new:
        for node_id in finding.nodes:
            yield node_id, f"new {finding.severity}"


def _gives(stage: Stage, old_id: str, new_id: str) -> tuple[str, str]:
    """The first dtype that differs, before and after; "" twice where none does."""
    count = min(len(stage.before.graph[old_id].outputs), len(stage.after.graph[new_id].outputs))
    both = ((stage.before.flow.dtype(Ref(old_id, i)), stage.after.flow.dtype(Ref(new_id, i))) for i in range(count))
    return next((pair for pair in both if pair[0] != pair[1]), ("", ""))


def _edges(stage: Stage) -> Iterator[tuple[tuple[str, str], str]]:
    for old_id, new_id in stage.matched.pairs:
        refs = stage.after.graph[new_id].operands()
        reads = zip(stage.before.flow.reads(old_id), stage.after.flow.reads(new_id), refs, strict=False)
        yield from (((ref.id, new_id), f"was {short(old)}") for old, new, ref in reads if old != new)
