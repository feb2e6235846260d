"""The report: everything one trace found, and its JSON form (version 1)."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from math import isfinite, prod
from typing import Any

from analyzer.ir.closed_sets import SEVERITIES, HeldKind
from analyzer.ir.dtypes import short
from analyzer.ir.findings import Coverage, Finding
from analyzer.ir.flow import Flow
from analyzer.ir.graph import Arg, DtypeArg, ModelGraph, Node, Ref, Spec
from analyzer.ir.inventory import Held
from analyzer.ir.plan import Plan
from analyzer.ir.witness import CPU
from analyzer.picture import PLAIN, Look, check

SCHEMA = 1
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
    def worst(self) -> Report:
        """The stage to look at first: with most errors, then most warnings; of equals the first."""
        return max(self.stages, key=lambda one: [sum(f.severity == s for f in one.findings) for s in SEVERITIES[:2]])

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

    def to_json(self) -> dict[str, Any]:
        """The report as plain data, in the form that tools read: fields may be added, none renamed."""
        data = {
            "schema": SCHEMA,
            "versions": self.versions,
            "model": {"path": self.path, "class": self.class_name, "parameters": self.parameters},
            **self._stage(),
            "findings": [{**_finding(one.graph, f), "stage": one.plan.stage or None} for one, f in self.found()],
        }
        return {**data, "stages": [one._stage() for one in self.others]} if self.others else data

    def _stage(self) -> dict[str, Any]:
        return {
            "plan": {**asdict(self.plan), "line": self.plan.line()},
            "census": [asdict(row) for row in self.census],
            "checkpoint": self.flow.inventory.checkpoint() or None,
            "coverage": {
                "ops": self.coverage.ops,
                "assumptions": [asdict(a) for a in self.coverage.assumptions],
                "incomplete": self.coverage.incomplete or None,
                "never_entered": [asdict(one) for one in self.coverage.never_entered],
                "autocast": self.autocast(),
                "steps": self.graph.steps or None,
            },
            "outputs": list(self.outputs),
            "modules": dict(self.flow.inventory.classes),
            "tensors": [_held(held) for held in self.flow.inventory.tensors],
            "graph": {
                "nodes": [_node(n) for n in self.graph],
                "edges": _edges(self.graph),
                "outputs": _plain(tuple(self.graph.outputs)),
            },
        }


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


def _finding(graph: ModelGraph, finding: Finding) -> dict[str, Any]:
    data = asdict(finding)
    data |= {"asked": finding.asked.text, "asked_kind": finding.asked.kind}
    for origin in (origin for operand in data["operands"] for origin in operand["origins"]):
        origin |= {"reason": origin["reason"]["text"], "reason_kind": origin["reason"]["kind"]}
    script, reason = graph[finding.nodes[0]].script if finding.nodes else None, no_script(graph, finding)
    data |= {"count": finding.count, "phase": finding.phase or "forward", "step": finding.step or None}
    data["script"] = list(script.lines) if script and not reason else None
    data["no_script"] = reason or None
    return data


def _held(held: Held) -> dict[str, Any]:
    return {
        "kind": held.kind,
        "name": held.name,
        "dtype": held.spec.dtype,
        "shape": list(held.spec.shape),
        "saved": held.saved or None,
    }


def _node(node: Node) -> dict[str, Any]:
    return {
        "id": node.id,
        "op": node.op,
        "call": node.call,
        "name": node.name,
        "module": node.module,
        "file": node.place.file,
        "line": node.place.line,
        "args": _plain(node.args),
        "kwargs": {key: _plain(value) for key, value in node.kwargs},
        "outputs": [{"dtype": s.dtype, "shape": list(s.shape)} for s in node.outputs],
        "refused": node.refused or None,
        "repair": node.repair or None,
        "reason": node.reason.text or None,
        "reason_kind": node.reason.kind or None,
        "inserted": node.inserted or None,
        "phase": node.phase or "forward",
        "step": node.step or None,
    }


def _plain(arg: Arg) -> Any:
    if isinstance(arg, Ref):
        return {"node": arg.id, "output": arg.index}
    if isinstance(arg, DtypeArg):
        return {"dtype": arg.name}
    if isinstance(arg, tuple):
        return [_plain(item) for item in arg]
    return str(arg) if isinstance(arg, float) and not isfinite(arg) else arg


def _edges(graph: ModelGraph) -> list[dict[str, Any]]:
    return [
        {"from": ref.id, "output": ref.index, "to": node.id, "position": position, "dtype": graph.spec(ref).dtype}
        for node in graph
        for position, ref in enumerate(node.operands())
    ]
