"""Reads back a report that was saved as JSON, version 1: the same report, or one line that says what is wrong."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace
from json import loads
from pathlib import Path
from typing import Final

from analyzer.errors import AnalyzerError
from analyzer.foreign import check_containers, read_small
from analyzer.gc_paused import gc_paused
from analyzer.ir.findings import Coverage, Finding
from analyzer.ir.plan import Plan
from analyzer.picture import PLAIN, Look, check
from analyzer.report import CensusRow, Report
from analyzer.report.graphs import check_depth, read_flow, read_graph, read_inventory
from analyzer.report.records import Misfit, as_list, as_object, read_record, read_value
from analyzer.report.writer import FORWARD, SCHEMA

LARGEST: Final = 256 << 20
"""Bytes of a report: it has some 700 for an operation."""
CONTAINERS: Final = 10_000_000
"""Lists and objects of a report: a hundred for an operation."""
_HINT: Final = "give a report as analyze trace --out FILE.json writes it"


def read_report(file: Path) -> Report:
    """The report in a file. Raises AnalyzerError for a file that is none, or of another version."""
    data = read_small(file, LARGEST)
    check_containers(data, str(file), CONTAINERS)
    return parse_report(data, str(file))


def parse_report(data: bytes, what: str) -> Report:
    """The report that bytes hold; `what` names them in an error, which is an AnalyzerError whatever they are."""
    with gc_paused():
        try:
            found = loads(data)
        except (ValueError, RecursionError) as error:  # of bytes that are no text, and of numbers too long to read
            raise AnalyzerError(f"{what} cannot be read: {error}", hint=_HINT) from error
        if type(found) is not dict or "schema" not in found or "graph" not in found:
            raise AnalyzerError(f"{what} is no report", hint=_HINT)
        if found["schema"] != SCHEMA:
            version = repr(found["schema"])[:40]
            raise AnalyzerError(f"{what} is a report of version {version}, not {SCHEMA}", hint=_HINT)
        try:
            return _report(found)
        except (Misfit, KeyError, TypeError, AttributeError, RecursionError) as error:
            wrong = f"{'' if isinstance(error, Misfit) else f'{type(error).__name__}: '}{error}"
            raise AnalyzerError(f"{what} is not a whole report: {wrong}", hint=_HINT) from error


def read_plan(data: object) -> Plan:
    """A plan as `writer.plain_plan` writes it; fields that an older version did not write are left alone.

    Raises Misfit.
    """
    if "device" not in as_object(data):
        raise Misfit("it is missing", "plan", "device")
    return read_record(Plan, data)


def _report(data: Mapping[str, object]) -> Report:
    look = read_record(Look, data["look"]) if data.get("look") else PLAIN
    findings: defaultdict[object, list[Finding]] = defaultdict(list)
    for number, one in enumerate(as_list(data["findings"], "findings")):
        try:
            found = as_object(one)
            findings[found.get("stage") or ""].append(_finding(found))
        except Misfit as error:
            raise error.within("findings", str(number)) from error
    stages = [data, *read_value(tuple[dict[str, object], ...], data.get("stages", []))]
    first, *others = [_stage(data, stage, findings, look) for stage in stages]
    if strangers := findings.keys() - {one.plan.stage for one in (first, *others)}:
        raise Misfit(f"no stage is called {str(min(strangers, key=str))[:40]}", "findings")
    report = replace(first, others=tuple(others))
    try:
        check(report.worst.flow, report.worst.findings, look)
    except AnalyzerError as error:
        raise Misfit(error.message, "look") from error
    return report


def _stage(
    data: Mapping[str, object], stage: Mapping[str, object], findings: Mapping[object, list[Finding]], look: Look
) -> Report:
    plan, graph = read_plan(stage["plan"]), read_graph(stage["graph"])
    found = tuple(findings.get(plan.stage, ()))
    for finding in found:
        if not graph.nodes.keys() >= {*finding.nodes}:
            raise Misfit(f"no node is called {min({*finding.nodes} - graph.nodes.keys())[:40]}", "findings")
    model = as_object(data["model"])
    return Report(
        read_value(dict[str, str], data["versions"]),
        read_value(str, model["path"]),
        read_value(str, model["class"]),
        read_value(int, model["parameters"]),
        plan,
        _coverage(stage["coverage"]),
        read_value(tuple[CensusRow, ...], stage["census"]),
        found,
        read_flow(stage.get("flow", {}), graph, plan, read_inventory(stage)),
        read_value(tuple[str, ...], stage["outputs"]),
        look,
    )


def _coverage(data: object) -> Coverage:
    said = as_object(data)
    found = read_record(Coverage, {**said, "incomplete": said["incomplete"] or ""})
    for one in found.never_entered:
        check_depth(one.module)
    return found


def _finding(data: Mapping[str, object]) -> Finding:
    phase = data.get("phase", FORWARD)
    found = read_record(Finding, {**data, "phase": "" if phase == FORWARD else phase, "step": data.get("step") or ""})
    if not (found.nodes or found.tensors):
        raise Misfit("it is about no node and no tensor")
    return found
