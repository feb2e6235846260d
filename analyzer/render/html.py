"""The report as one page without network: findings, the picture, the model to leaf through, plan and assumptions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from importlib.resources import files
from typing import Final

from analyzer.errors import AnalyzerError
from analyzer.escaping import as_html
from analyzer.ir.dtypes import short
from analyzer.ir.findings import Coverage, Finding
from analyzer.ir.graph import Place
from analyzer.picture import Box, Cluster, View
from analyzer.picture.tree import Branch, Leaf, tree
from analyzer.render import dot, svg
from analyzer.render.palette import TINTS, tint
from analyzer.render.words import PARTIAL, story
from analyzer.report import Report

POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; base-uri 'none'"
"""What a browser lets the page do: nothing that it does not hold itself."""
NOTED: Final = 200
"""Assumptions, and plan notes, that are listed."""


def render(report: Report) -> bytes:
    """The page; of a recipe's stages, the worst is drawn, and the findings of all are listed."""
    return "".join(_Page(report.worst, report).lines()).encode("utf-8", "backslashreplace")


class _Page:
    """Writes one page; what can be jumped to has ids by order."""

    def __init__(self, report: Report, whole: Report) -> None:
        self.report, self.whole = report, whole
        self.tree = tree(report.flow, report.findings)
        self.modules = {branch.path: f"module{i}" for i, branch in enumerate(_branches(self.tree))}
        self.rows = {leaf.node: f"row{i}" for i, leaf in enumerate(self.tree.leaves())}

    def lines(self) -> Iterator[str]:
        caption = dot.caption(self.report, self.whole)
        colors = "".join(f".d-{name or 'other'}{{background:{row.full}}}" for name, row in TINTS.items())
        yield '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        yield f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        yield '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        yield f"<title>{as_html(caption.title)}</title>\n"
        yield f"<style>\n{colors}\n{_asset('page.css')}</style>\n</head>\n<body>\n"
        facts = "".join(f"<dt>{as_html(name)}</dt><dd>{as_html(value)}</dd>" for name, value in caption.facts)
        yield f"<header><h1>{as_html(caption.title)}</h1><dl>{facts}</dl></header>\n"
        yield (
            '<nav aria-label="Search"><label>Search <input type="search" id="search" placeholder="module, call, dtype, '
            'file" title="press / to come here"></label> <output id="hits" class="quiet"></output> '
            '<label><input type="checkbox" id="only"> only what mixes</label></nav>\n<main>\n'
        )
        yield from self._findings()
        yield f'<section aria-label="Picture"><h2>Picture</h2><div class="picture">{self._picture}</div></section>\n'
        yield '<section aria-label="Modules"><h2>Modules</h2><div id="modules">'
        yield from self._branch(self.tree, opened=True)
        yield "</div></section>\n"
        yield from self._plan()
        yield f"</main>\n<script>\n{_asset('page.js')}</script>\n</body>\n</html>\n"

    def _findings(self) -> Iterator[str]:
        for one in self.whole.stages:
            stage = f": {as_html(one.plan.stage)}" if one.plan.stage else ""
            yield f'<section aria-label="Findings"><h2>Findings{stage}</h2>'
            if one.coverage.incomplete:
                yield f'<p class="partial">{PARTIAL.capitalize()}: the run stopped early.</p>'
            if not one.findings:
                so_far = "Nothing found so far" if one.coverage.incomplete else "No precision fault found"
                yield f'<p class="quiet">{so_far}.</p>'
            yield '<ol class="findings">'
            for number, finding in enumerate(one.findings, 1):
                yield self._finding(number, finding, "" if one is self.report else one.plan.stage or "other")
            yield "</ol></section>\n"

    def _finding(self, number: int, finding: Finding, other: str) -> str:
        to = next((self.rows[n] for n in finding.nodes if n in self.rows), "") if not other else ""
        name = f"#{number} {finding.severity} {finding.code} {finding.name}"
        head = f'<a href="#{to}">{as_html(name)}</a>' if to else as_html(name)
        times = f' <span class="quiet">x {finding.count:,}</span>' if finding.count > 1 else ""
        told = f' data-story="{number}"' if not other else ""
        where, *rest = story(finding)
        place = self._place(Place(finding.file, finding.line))
        where = where.removeprefix(f"{finding.file}:{finding.line}").strip() if place else where
        body = "".join(f"<p>{line}</p>" for line in (f"{place} {as_html(where)}", *map(as_html, rest)))
        return (
            f'<li class="finding {finding.severity}" id="{as_html(other)}finding{number}"{told}>'
            f'<span class="severity">{head}</span>{times}{body}</li>\n'
        )

    @cached_property
    def _picture(self) -> str:
        view = dot.picture(self.report)
        boxes = {box.id: replace(box, href=self._jump(box)) for box in view.boxes}
        linked = View(self._linked(view.root, boxes), view.links)
        source = dot.draw(linked, dot.caption(self.report, self.whole)).encode("utf-8", "backslashreplace")
        try:
            drawn = svg.fitted(svg.layout(source, "svg")).decode()
        except AnalyzerError as error:
            return f'<p class="quiet">{as_html(str(error))}</p>'
        return drawn[drawn.index("<svg") :]

    def _linked(self, cluster: Cluster, boxes: dict[str, Box]) -> Cluster:
        return replace(
            cluster,
            boxes=tuple(boxes[box.id] for box in cluster.boxes),
            clusters=tuple(self._linked(inner, boxes) for inner in cluster.clusters),
            href=f"#{self.modules[cluster.id]}" if cluster.id in self.modules else "",
        )

    def _jump(self, box: Box) -> str:
        """Where in the tree a box is: its row, its module, else the module around it."""
        name = box.id.partition(":")[2].partition(" for ")[0] if box.stub else box.id.partition(":")[2]
        found = self.rows.get(name) if box.kind != "module" else self.modules.get(name.removesuffix(".*"))
        return f"#{found or self.modules[next((p for p in reversed(box.path) if p in self.modules), '')]}"

    def _branch(self, branch: Branch, opened: bool = False) -> Iterator[str]:
        mixes = ' class="mixes"' if branch.mixes else ""
        held = ", ".join(f"{count:,} {as_html(short(dtype))}" for dtype, count in branch.tensors.most_common())
        about = f' <span class="quiet">{held} parameter{"s" * (branch.tensors.total() != 1)}</span>' if held else ""
        yield f'<details id="{self.modules[branch.path]}"{mixes}{" open" * opened}><summary>{as_html(branch.label)}'
        yield f"{_dtype(branch.dtype, short(branch.dtype))}{about}{_numbers(branch.findings)}</summary>"
        listed = False
        for entry in branch.entries:
            if isinstance(entry, Leaf) != listed:
                listed = not listed
                yield '<ul class="rows">' if listed else "</ul>"
            if isinstance(entry, Leaf):
                yield self._leaf(entry)
            else:
                yield from self._branch(entry)
        yield "</ul>" * listed
        yield f'<p class="quiet">{branch.hidden:,} more operations are not listed</p>' if branch.hidden else ""
        yield "</details>\n"

    def _leaf(self, leaf: Leaf) -> str:
        told = "".join(f" story{number}" for number in leaf.stories)
        kind = "" if leaf.kind == "op" else f'<span class="quiet">{as_html(leaf.kind)}</span> '
        reads = f' <span class="quiet">reads {as_html(leaf.reads)}</span>' if leaf.reads else ""
        why = f' <span class="quiet">{as_html(leaf.reason)}</span>' if leaf.reason else ""
        return (
            f'<li class="row{" mixes" * leaf.mixes}{told}" id="{self.rows[leaf.node]}">{kind}'
            f"<code>{as_html(leaf.label)}</code>{_dtype(leaf.dtype, leaf.outputs)}{reads} {self._place(leaf.place)}"
            f"{why}{_numbers(leaf.findings)}</li>\n"
        )

    def _place(self, place: Place) -> str:
        href = self.report.look.href(place, self.report.versions)
        words = as_html(str(place))
        return (
            f'<a href="{as_html(href)}" rel="noreferrer">{words}</a>' if href else f"<code>{words}</code>" * bool(words)
        )

    def _plan(self) -> Iterator[str]:
        for one in self.whole.stages:
            stage = f": {as_html(one.plan.stage)}" if one.plan.stage else ""
            yield f'<section aria-label="Plan"><h2>Plan{stage}</h2><p>{as_html(one.plan.line())}</p>'
            yield f"<ul>{''.join(f'<li>{as_html(note)}</li>' for note in one.plan.notes[:NOTED])}</ul></section>\n"
            assumed = list(_assumed(one.coverage))
            shown = "".join(f"<li>{as_html(line)}</li>" for line in assumed[:NOTED]) or "<li>nothing</li>"
            more = f"<li>{len(assumed) - NOTED:,} more</li>" if len(assumed) > NOTED else ""
            yield f'<section aria-label="Assumptions"><h2>Assumed{stage}</h2><ul>{shown}{more}</ul>'
            versions = as_html(_versions(one.versions))
            yield f'<p class="quiet">{one.coverage.ops:,} operations, {versions}</p></section>\n'


def _assumed(coverage: Coverage) -> Iterator[str]:
    if coverage.incomplete:
        yield f"incomplete: {coverage.incomplete}"
    for missed in coverage.never_entered:
        yield f"never entered: {missed.module} ({missed.parameters:,} parameters)"
    for one in coverage.assumptions:
        times = f" x {one.count}" if one.count > 1 else ""
        yield f"{one.what}: {one.value}{times}" + (f" ({one.where})" if one.where else "")


def _versions(versions: dict[str, str]) -> str:
    return ", ".join(f"{name} {version}" for name, version in sorted(versions.items()))


def _branches(branch: Branch) -> Iterator[Branch]:
    yield branch
    for entry in branch.entries:
        if isinstance(entry, Branch):
            yield from _branches(entry)


def _numbers(numbers: Iterable[int]) -> str:
    found: Sequence[int] = sorted(numbers)
    links = ", ".join(f'<a href="#finding{number}">#{number}</a>' for number in found[:5])
    return f" {links}{', ...' * (len(found) > 5)}" if found else ""


def _dtype(dtype: str, words: str) -> str:
    if not dtype:
        return ""
    name = next((key for key, row in TINTS.items() if row == tint(dtype)), "")
    return f' <span class="d d-{name or "other"}">{as_html(words)}</span>'


def _asset(name: str) -> str:
    return files(__package__ or "analyzer.render").joinpath(name).read_text(encoding="utf-8")
