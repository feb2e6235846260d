"""A difference as JSON, for tools."""

from __future__ import annotations

from dataclasses import asdict

from analyzer.diff.comparison import Difference, Stage
from analyzer.escaping import as_json
from analyzer.ir.findings import Finding
from analyzer.report.json_value import Json

SCHEMA = 1


def render(difference: Difference) -> bytes:
    """Stage by stage; findings without their nodes, whose names mean nothing beyond one run."""
    data = {
        "schema": SCHEMA,
        "before": difference.names[0],
        "after": difference.names[1],
        "empty": difference.empty,
        "complete": not difference.incomplete,
        "stages": [_stage(stage) for stage in difference.stages],
    }
    return (as_json(data) + "\n").encode()


def _stage(stage: Stage) -> dict[str, Json]:
    before, after = stage.bytes
    return {
        "stage": stage.after.plan.stage or None,
        "plans": [stage.before.plan.line(), stage.after.plan.line()],
        "findings": {"new": [_finding(one) for one in stage.new], "gone": [_finding(one) for one in stage.gone]},
        "incomplete": [reason or None for reason in stage.stops],
        "edges": [asdict(one) for one in stage.edges],
        "outputs": [list(stage.before.outputs), list(stage.after.outputs)],
        "renamed": [asdict(one) for one in stage.renamed],
        "tensors": [asdict(one) for one in stage.tensors],
        "memory": {"before": before, "after": after, "difference": after - before},
        **{
            name: {side: [asdict(one) for one in items] for side, items in zip(("gone", "new"), both, strict=True)}
            for name, both in (("modules", stage.modules), ("casts", stage.casts), ("operations", stage.ops))
        },
    }


def _finding(finding: Finding) -> dict[str, Json]:
    return {key: value for key, value in asdict(finding).items() if key != "nodes"} | {"count": finding.count}
