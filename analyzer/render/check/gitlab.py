"""A check as GitLab code quality JSON; GitLab itself compares it with the target branch, by fingerprint."""

from __future__ import annotations

from json import dumps
from typing import Final

from analyzer.check import Check
from analyzer.render.check.words import message, title

SEVERITIES: Final = {"error": "critical", "warning": "minor"}


def render(check: Check) -> bytes:
    """Every finding that is not suppressed, new or known."""
    found = [
        {
            "description": f"{title(one)}: {message(one)}",
            "check_name": one.finding.code,
            "fingerprint": one.key,
            "severity": SEVERITIES[one.finding.severity],
            "location": {"path": one.spot.path, "lines": {"begin": one.spot.line}},
        }
        for one in check.shown
    ]
    return (dumps(found, indent=1, ensure_ascii=True) + "\n").encode()
