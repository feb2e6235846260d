"""Writes the report as plain data, in the form that tools read: fields may be added, none renamed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Final, cast

from analyzer.ir.findings import Finding
from analyzer.ir.flow import Flow
from analyzer.ir.graph import ModelGraph, Node, Place
from analyzer.ir.inventory import Held, Inventory
from analyzer.ir.plan import Plan
from analyzer.ir.reason import Reason
from analyzer.report.arguments import plain_argument
from analyzer.report.json_value import Json, JsonObject

if TYPE_CHECKING:
    from analyzer.report import Report

SCHEMA: Final = 1
FORWARD: Final = "forward"
"""What the phase of a forward pass is called; within the program it is ""."""


class Rows:
    """A long list of objects, each of which is made when it is asked for: of a large model all take a gigabyte."""

    def __init__(self, rows: Iterable[JsonObject]) -> None:
        self._rows = rows

    def __iter__(self) -> Iterator[JsonObject]:
        return iter(self._rows)

    @classmethod
    def later(cls, rows: Iterable[JsonObject]) -> Json:
        """The rows, in the place of a list of them."""
        return cast("Json", cls(rows))


def plain_report(report: Report, rows: Callable[[Iterable[JsonObject]], Json] = list) -> JsonObject:
    """The report, first what it is about, then its stage, then the other stages of a recipe where there are any.

    `rows` is what the long lists become, of tensors, nodes and edges.
    """
    data: JsonObject = {
        "schema": SCHEMA,
        "versions": report.versions,
        "model": {"path": report.path, "class": report.class_name, "parameters": report.parameters},
        **_stage(report, rows),
        "complete": report.complete,
        "findings": [{**_finding(one, f), "stage": one.plan.stage or None} for one, f in report.found()],
        "look": asdict(report.look),
    }
    return {**data, "stages": [_stage(one, rows) for one in report.others]} if report.others else data


def plain_plan(plan: Plan) -> JsonObject:
    """A plan, with the one line that people read."""
    return {**asdict(plan), "line": plan.line()}


def _stage(report: Report, rows: Callable[[Iterable[JsonObject]], Json]) -> JsonObject:
    graph, inventory = report.graph, report.flow.inventory
    return {
        "plan": plain_plan(report.plan),
        "census": [asdict(row) for row in report.census],
        "checkpoint": inventory.checkpoint() or None,
        "coverage": {
            "ops": report.coverage.ops,
            "assumptions": [asdict(a) for a in report.coverage.assumptions],
            "incomplete": report.coverage.incomplete or None,
            "never_entered": [asdict(one) for one in report.coverage.never_entered],
            "autocast": report.autocast(),
            "steps": graph.steps or None,
        },
        "outputs": list(report.outputs),
        "modules": dict(inventory.classes),
        "tensors": rows(_held(held) for held in inventory.tensors),
        "inventory": _inventory(inventory),
        "flow": _flow(report.flow),
        "graph": {
            "nodes": rows(_node(n) for n in graph),
            "edges": rows(_edges(graph)),
            "outputs": [plain_argument(ref) for ref in graph.outputs],
            "follows": [[plain_argument(ref), plain_argument(other)] for ref, other in graph.follows.items()],
            "scripts": {n.id: asdict(n.script) for n in graph if n.script is not None},
            "callers": {n.id: [_place(one) for one in n.callers] for n in graph if n.callers},
        },
    }


def _inventory(inventory: Inventory) -> JsonObject:
    """All of it but tensors and classes."""
    return {
        "no_split": list(inventory.no_split),
        "ends": [list(paths) for paths in inventory.ends],
        "declared": inventory.declared,
        "loaded": inventory.loaded,
        "unused": dict(inventory.unused),
        "other_shapes": {name: list(shape) for name, shape in inventory.other_shapes.items()},
        "has_checkpoint": inventory.has_checkpoint,
        "made_anew": list(inventory.made_anew),
        "tokens": inventory.tokens,
        "longest": inventory.longest,
    }


def _flow(flow: Flow) -> JsonObject:
    """What the reading says beyond the capture: other dtypes, other refusals (null: none any more), whose words."""
    captured = Flow.as_captured(flow.graph, flow.plan)
    refused = {
        node.id: flow.refusals.get(node.id)
        for node in flow.graph
        if flow.refusals.get(node.id) != captured.refusals.get(node.id)
    }
    return {
        "dtypes": {name: list(found) for name, found in flow.dtypes.items() if found != captured.dtypes[name]},
        "refusals": refused,
        "said_by": {name: one.text for name, one in flow.witnesses.items()},
        "said_by_kind": {name: one.kind for name, one in flow.witnesses.items()},
    }


def _finding(report: Report, finding: Finding) -> JsonObject:
    from analyzer.report import no_script

    graph = report.graph
    data = asdict(finding)
    data |= {"asked": finding.asked.text, "asked_kind": finding.asked.kind}
    for origin in (origin for operand in data["operands"] for origin in operand["origins"]):
        origin |= {"reason": origin["reason"]["text"], "reason_kind": origin["reason"]["kind"]}
    script, reason = graph[finding.nodes[0]].script if finding.nodes else None, no_script(graph, finding)
    data |= {"count": finding.count, "phase": finding.phase or FORWARD, "step": finding.step or None}
    data["script"] = list(script.lines) if script and not reason else None
    data["no_script"] = reason or None
    return data


def _held(held: Held) -> JsonObject:
    return {
        "kind": held.kind,
        "name": held.name,
        "dtype": held.spec.dtype,
        "shape": list(held.spec.shape),
        "saved": held.saved or None,
        "trained": held.trained,
        "persistent": held.persistent,
        "shard": held.shard or None,
        **_place(held.place),
        **_reason(held.reason),
    }


def _node(node: Node) -> JsonObject:
    return {
        "id": node.id,
        "op": node.op,
        "call": node.call,
        "name": node.name,
        "module": node.module,
        **_place(node.place),
        "args": [plain_argument(arg) for arg in node.args],
        "kwargs": {key: plain_argument(value) for key, value in node.kwargs},
        "outputs": [{"dtype": s.dtype, "shape": list(s.shape)} for s in node.outputs],
        "refused": node.refused or None,
        "repair": node.repair or None,
        **({"odd": list(node.odd)} if node.odd else {}),
        **({"kept_cast": node.kept_cast} if node.kept_cast else {}),
        **({"uncovered": node.uncovered} if node.uncovered else {}),
        **({"bounds": [plain_argument(bound) for bound in node.bounds]} if node.bounds else {}),
        **_reason(node.reason),
        "inserted": node.inserted or None,
        "phase": node.phase or FORWARD,
        "step": node.step or None,
    }


def _reason(reason: Reason) -> JsonObject:
    return {"reason": reason.text or None, "reason_kind": reason.kind or None}


def _place(place: Place) -> JsonObject:
    return {"file": place.file, "line": place.line}


def _edges(graph: ModelGraph) -> Iterator[JsonObject]:
    return (
        {"from": ref.id, "output": ref.index, "to": node.id, "position": position, "dtype": graph.spec(ref).dtype}
        for node in graph
        for position, ref in enumerate(node.operands())
    )
