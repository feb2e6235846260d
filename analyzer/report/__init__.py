"""The report: everything one trace found; beside it, its JSON form (version 1), there and back."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from math import prod

from analyzer.ir.dtypes import short
from analyzer.ir.findings import Coverage, Finding
from analyzer.ir.flow import Flow
from analyzer.ir.graph import ModelGraph, Spec
from analyzer.ir.literal_types import HeldKind
from analyzer.ir.plan import Plan
from analyzer.ir.witness import CPU
from analyzer.picture import PLAIN, Look, check
from analyzer.report.json_value import JsonObject

DISPLAYS: dict[str, Callable[[Report], str]] = {}
"""How a notebook shows a report, as "html" and "svg": filled by `pipeline`, which stands above the renderers."""


@dataclass(frozen=True, slots=True)
class CensusRow:
    """Parameters or buffers of one component in one dtype; `names` is filled where they are the odd ones out."""

    component: str
    kind: HeldKind
    dtype: str
    count: int
    bytes: int
    names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Report:
    """What one trace of one model under one plan found."""

    versions: dict[str, str]
    path: str
    class_name: str
    parameters: int
    plan: Plan
    coverage: Coverage
    census: tuple[CensusRow, ...]
    findings: tuple[Finding, ...]
    flow: Flow
    outputs: tuple[str, ...]
    look: Look = PLAIN
    """How the person who asked wants it drawn."""
    others: tuple[Report, ...] = ()
    """The reports of the other stages of one recipe."""

    @property
    def stages(self) -> tuple[Report, ...]:
        """The report itself and those of the other stages."""
        return (self, *self.others)

    def found(self) -> Iterator[tuple[Report, Finding]]:
        """Every finding of every stage, with the report of its stage."""
        return ((one, finding) for one in self.stages for finding in one.findings)

    @property
    def incomplete(self) -> str:
        """Why the run of a stage stopped early, of the first that did; "" if every run came to its end."""
        early = next((one for one in self.stages if one.coverage.incomplete), None)
        if early is None:
            return ""
        named = self.others and early.graph.stop is not None
        return f"in {early.plan.stage}, {early.coverage.incomplete}" if named else early.coverage.incomplete

    @property
    def complete(self) -> bool:
        """Whether the run of every stage came to its end, so that nothing found means that there is nothing."""
        return not self.incomplete

    @property
    def ok(self) -> bool:
        """Whether `analyze trace` would exit with 0: every run came to its end, and no stage has an error."""
        return self.complete and not any(finding.severity == "error" for _, finding in self.found())

    @property
    def worst(self) -> Report:
        """The stage to look at first: with most errors, then one that stopped early, then with most warnings.

        Of equals it is the first.
        """
        return max(self.stages, key=_badness)

    def seen(self, look: Look) -> Report:
        """The report as it is to be drawn; raises AnalyzerError if there is no such finding or module."""
        check(self.worst.flow, self.worst.findings, look)
        return replace(self, look=look, others=tuple(replace(one, look=look) for one in self.others))

    @property
    def graph(self) -> ModelGraph:
        """The captured graph."""
        return self.flow.graph

    def headline(self) -> str:
        """The parameters in one line: `693 bf16, 1 f32: resampler.pos_embed`."""
        counts: Counter[str] = Counter()
        odd: defaultdict[str, list[str]] = defaultdict(list)
        for row in self.census:
            if row.kind == "parameter":
                counts[row.dtype] += row.count
                odd[row.dtype] += row.names
        parts = []
        for dtype, count in counts.most_common():
            names = odd[dtype] if len(odd[dtype]) == count and len(counts) > 1 else []
            parts.append(f"{count} {short(dtype)}" + (f": {', '.join(names)}" if names else ""))
        return ", ".join(parts)

    def autocast(self) -> dict[str, int]:
        """How many casts autocast inserted, and how many bytes they write."""
        inserted = [node for node in self.graph.ops() if node.inserted == "autocast"]
        return {"casts": len(inserted), "bytes": sum(spec.bytes for node in inserted for spec in node.outputs)}

    def _repr_html_(self) -> str | None:
        """What a notebook shows: findings and picture."""
        return DISPLAYS["html"](self) if "html" in DISPLAYS else None

    def _repr_svg_(self) -> str | None:
        """What a notebook shows where it takes no HTML: the picture."""
        return DISPLAYS["svg"](self) if "svg" in DISPLAYS else None

    def to_json(self) -> JsonObject:
        """The report as plain data, in the form that tools read: fields may be added, none renamed."""
        from analyzer.report.writer import plain_report

        return plain_report(self)


def _badness(one: Report) -> tuple[int, bool, int]:
    counts = Counter(finding.severity for finding in one.findings)
    return counts["error"], bool(one.coverage.incomplete), counts["warning"]


def take_census(graph_tensors: Iterable[tuple[HeldKind, str, Spec]]) -> tuple[CensusRow, ...]:
    """Count (kind, full name, spec) of stored tensors by component, kind and dtype."""
    groups: dict[tuple[str, HeldKind, str], list[tuple[str, int]]] = {}
    for kind, name, spec in graph_tensors:
        component = name.split(".")[0] if "." in name else ""
        groups.setdefault((component, kind, spec.dtype), []).append((name, spec.bytes))
    majority: dict[tuple[str, str], int] = {}
    for (component, kind, _), members in groups.items():
        majority[component, kind] = max(majority.get((component, kind), 0), len(members))
    return tuple(
        CensusRow(
            component,
            kind,
            dtype,
            len(members),
            sum(size for _, size in members),
            tuple(sorted(n for n, _ in members))
            if len(members) <= 3 and len(members) < majority[component, kind]
            else (),
        )
        for (component, kind, dtype), members in sorted(groups.items())
    )


def count_elements(specs: Iterable[Spec]) -> int:
    """Number of elements of several tensors together."""
    return sum(prod(spec.shape) for spec in specs)


def no_script(graph: ModelGraph, finding: Finding) -> str:
    """Why an error cannot be raised alone by a few lines of plain torch; "" if it can, or if it is no error."""
    if finding.severity != "error":
        return ""
    if finding.tensors:
        return "it is about stored tensors, not about a call"
    node = graph[finding.nodes[0]]
    if node.script is None:
        return "the graph does not hold the call as it was written"
    if node.script.lines and finding.asked != CPU:
        return ""  # not the CPU's words, so that this machine could not try it
    return node.script.doubt
