"""A check as JSON, for tools: findings as in a report, with key, state and place."""

from __future__ import annotations

from dataclasses import asdict

from analyzer.check import Check
from analyzer.check.judgement import Judged
from analyzer.escaping import as_json
from analyzer.render.fixes import unified

SCHEMA = 1


def render(check: Check) -> bytes:
    """The judgement, findings in the order of a report."""
    data = {
        "schema": SCHEMA,
        "versions": check.report.versions,
        "model": {"path": check.folder, "class": check.report.class_name, "parameters": check.report.parameters},
        "plans": [one.plan.line() for one in check.report.stages],
        "fails": bool(check.failing),
        "fails_on": list(check.fails_on),
        "counts": dict(check.counts),
        "complete": check.report.complete,
        "incomplete": check.incomplete or None,
        "findings": [_finding(one) for one in check.judged],
        "gone": [asdict(entry) for entry in check.gone],
        "unused_suppressions": [
            {"where": one.where, "codes": list(one.codes), "fault": one.fault or None} for one in check.unused
        ],
    }
    return (as_json(data) + "\n").encode()


def _finding(one: Judged) -> dict[str, object]:
    return {
        "key": one.key,
        "state": one.state,
        "reason": one.reason or None,
        "stages": list(one.stages),
        "path": one.spot.path,
        "line_there": one.spot.line,
        "own_line": one.spot.own,
        **{key: value for key, value in asdict(one.finding).items() if key != "nodes"},
        "count": one.finding.count,
        "diff": unified(one.edit) if one.edit else None,
    }
