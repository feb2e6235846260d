"""Reads a report back that was saved as JSON, version 1."""

from __future__ import annotations

from json import JSONDecodeError, loads
from pathlib import Path
from typing import Any, Final

from analyzer.errors import AnalyzerError
from analyzer.ir.closed_sets import HELD, INSERTERS, ORIGINS, PHASES, REASONS, SEVERITIES, WITNESSES, Phase, one_of
from analyzer.ir.findings import Assumption, Coverage, Finding, Fix, Operand, Origin, Unentered
from analyzer.ir.flow import Flow
from analyzer.ir.graph import Arg, DtypeArg, ModelGraph, Node, Place, Ref, Spec
from analyzer.ir.inventory import Held, Inventory
from analyzer.ir.plan import Engine, Plan, Training, Wrap
from analyzer.ir.reason import Reason
from analyzer.ir.witness import Witness
from analyzer.report import SCHEMA, CensusRow, Report

_HINT: Final = "give a report as analyze trace --out FILE.json writes it"
_FORWARD: Final = "forward"


def read_report(file: Path) -> Report:
    """The report in a file, as far as JSON holds it: no call can be asked about again.

    Raises AnalyzerError for a file that is none, or of another version.
    """
    try:
        data = loads(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, JSONDecodeError, RecursionError) as error:
        raise AnalyzerError(f"{file} cannot be read: {error}", hint=_HINT) from error
    if not isinstance(data, dict) or "schema" not in data or "graph" not in data:
        raise AnalyzerError(f"{file} is no report", hint=_HINT)
    if data["schema"] != SCHEMA:
        raise AnalyzerError(f"{file} is a report of version {data['schema']!r}, not {SCHEMA}", hint=_HINT)
    try:
        return _report(data)
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        what = f"{type(error).__name__}: {error}"
        raise AnalyzerError(f"{file} is not a whole report: {what}", hint=_HINT) from error


def _report(data: dict[str, Any]) -> Report:
    first, *others = [_stage(data, stage) for stage in (data, *data.get("stages", ()))]
    return Report(**first, others=tuple(Report(**other) for other in others))


def _stage(data: dict[str, Any], stage: dict[str, Any]) -> dict[str, Any]:
    plan = _plan(stage["plan"])
    graph = _graph(stage["graph"])
    tensors = tuple(_held(one) for one in stage.get("tensors", ()))
    flow = Flow.as_captured(graph, plan)
    coverage = stage["coverage"]
    return {
        "versions": data["versions"],
        "path": data["model"]["path"],
        "class_name": data["model"]["class"],
        "parameters": data["model"]["parameters"],
        "plan": plan,
        "coverage": Coverage(
            coverage["ops"],
            tuple(Assumption(**one) for one in coverage["assumptions"]),
            coverage["incomplete"] or "",
            tuple(Unentered(**one) for one in coverage.get("never_entered", ())),
        ),
        "census": tuple(CensusRow(**{**row, "names": tuple(row["names"])}) for row in stage["census"]),
        "findings": tuple(_finding(one) for one in data["findings"] if (one.get("stage") or "") == plan.stage),
        "flow": Flow(
            graph, plan, flow.dtypes, flow.refusals, inventory=Inventory(tensors, classes=stage.get("modules", {}))
        ),
        "outputs": tuple(stage["outputs"]),
    }


def _plan(data: dict[str, Any]) -> Plan:
    fields = {key: value for key, value in data.items() if key != "line"}
    fields |= {"read": tuple(data["read"]), "notes": tuple(data["notes"])}
    if training := data["training"]:
        fsdp, engine = training["fsdp"], training["deepspeed"]
        wrap = Wrap(**{**fsdp, "classes": tuple(fsdp["classes"])}) if fsdp else None
        fields["training"] = Training(**{**training, "fsdp": wrap, "deepspeed": Engine(**engine) if engine else None})
    return Plan(**fields)


def _held(data: dict[str, Any]) -> Held:
    return Held(
        one_of(HELD, data["kind"]), data["name"], Spec(data["dtype"], tuple(data["shape"])), saved=data["saved"] or ""
    )


def _graph(data: dict[str, Any]) -> ModelGraph:
    graph = ModelGraph()
    for one in data["nodes"]:
        node = Node(
            one["id"], one["op"], tuple(map(_arg, one["args"])), tuple((k, _arg(v)) for k, v in one["kwargs"].items()),
            tuple(Spec(spec["dtype"], tuple(spec["shape"])) for spec in one["outputs"]), one["name"], one["module"],
            one["call"], Place(one["file"], one["line"]), one["refused"] or "", one.get("repair") or "",
            _reason(one), one_of(INSERTERS, one["inserted"] or ""), phase=_phase(one), step=one.get("step") or "",
        )  # fmt: skip
        for ref in node.operands():
            graph.spec(ref)  # a KeyError where nothing above has that name
        graph.add(node)
    graph.outputs.extend(Ref(one["node"], one["output"]) for one in data.get("outputs", ()))
    return graph


def _arg(data: Any) -> Arg:
    if isinstance(data, dict):
        return DtypeArg(data["dtype"]) if "dtype" in data else Ref(data["node"], data["output"])
    return tuple(map(_arg, data)) if isinstance(data, list) else data


def _reason(data: dict[str, Any]) -> Reason:
    return Reason(data.get("reason") or "", one_of(REASONS, data.get("reason_kind") or ""))


def _origin(data: dict[str, Any]) -> Origin:
    fields = {key: value for key, value in data.items() if key != "reason_kind"}
    return Origin(**{**fields, "kind": one_of(ORIGINS, data["kind"]), "reason": _reason(data)})


def _witness(text: str, kind: str | None) -> Witness:
    """Reports that were saved before there were kinds have the words alone; those of the CPU are their kind."""
    return Witness(one_of(WITNESSES, kind or (text if text in WITNESSES else "from source")), text)


def _finding(data: dict[str, Any]) -> Finding:
    origins = [tuple(map(_origin, operand["origins"])) for operand in data["operands"]]
    operands = (
        Operand(**{**operand, "shape": tuple(operand["shape"]), "origins": found})
        for operand, found in zip(data["operands"], origins, strict=True)
    )
    return Finding(
        code=data["code"],
        name=data["name"],
        severity=one_of(SEVERITIES, data["severity"]),
        message=data["message"],
        op=data["op"],
        call=data["call"],
        module=data["module"],
        file=data["file"],
        line=data["line"],
        nodes=tuple(data["nodes"]),
        operands=tuple(operands),
        widened_ops=data["widened_ops"],
        widened_bytes=data["widened_bytes"],
        asked=_witness(data["asked"], data.get("asked_kind")),
        fixes=tuple(Fix(**fix) for fix in data["fixes"]),
        phase=_phase(data),
        tensors=tuple(data["tensors"]),
        step=data["step"] or "",
        source=data.get("source", ""),
    )


def _phase(data: dict[str, Any]) -> Phase:
    phase = data.get("phase", _FORWARD)
    return one_of(PHASES, "" if phase == _FORWARD else phase)
