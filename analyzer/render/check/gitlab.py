"""A check as GitLab code quality JSON; GitLab itself compares it with the target branch, by fingerprint."""

from __future__ import annotations

from typing import Final

from analyzer.check import Check
from analyzer.check.judgement import Spot
from analyzer.escaping import as_json
from analyzer.render.check.words import early, message, title
from analyzer.report.json_value import Json

SEVERITIES: Final = {"error": "critical", "warning": "minor"}
INCOMPLETE: Final = "incomplete"
"""The name of what is said of a run that stopped early."""


def render(check: Check) -> bytes:
    """Every finding that is not suppressed, new or known, and that a run stopped early."""
    found: list[dict[str, Json]] = [
        {
            "description": f"{title(one)}: {message(one)}",
            "check_name": one.finding.code,
            "fingerprint": one.key,
            "severity": SEVERITIES[one.finding.severity],
            "location": _location(one.spot),
        }
        for one in check.shown
    ]
    if check.stop is not None:
        found.append(
            {
                "description": early(check),
                "check_name": INCOMPLETE,
                "fingerprint": f"{INCOMPLETE} {check.folder}",
                "severity": "info" if check.allow_incomplete else "critical",
                "location": _location(check.stop),
            }
        )
    return (as_json(found) + "\n").encode()


def _location(spot: Spot) -> dict[str, Json]:
    return {"path": spot.path, "lines": {"begin": spot.line}}
