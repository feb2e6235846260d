"""Which findings of two reports are new, and which are gone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from analyzer.check.judgement import JUDGED
from analyzer.check.keys import identities
from analyzer.diff.matching import Matched
from analyzer.ir.findings import Finding

if TYPE_CHECKING:  # a report stands on torch; here it is only read
    from analyzer.report import Report

Findings = tuple[Finding, ...]


def changes(before: Report, after: Report, matched: Matched, path: Callable[[str], str]) -> tuple[Findings, Findings]:
    """New findings and gone ones: those without the same key on the other side, and not at a matched operation either.

    A line that is rewritten, as where a module is renamed, makes another key; the fault at the same operation is the
    same. `path` says how a module or tensor of the first is called in the second.
    """
    old, new = _keyed(before, path), _keyed(after, str)
    gone = {key: finding for key, finding in old.items() if key not in new}
    after_id = dict(matched.pairs)
    there = {
        (one.code, one.severity, after_id[n]): key for key, one in gone.items() for n in one.nodes if n in after_id
    }
    made = []
    for key, finding in new.items():
        if key in old:
            continue
        same = next((k for n in finding.nodes if (k := there.get((finding.code, finding.severity, n)))), "")
        if gone.pop(same, None) is None:
            made.append(finding)
    return tuple(made), tuple(gone.values())


def _keyed(report: Report, path: Callable[[str], str]) -> Mapping[str, Finding]:
    return {identity.key: finding for finding, identity in identities(report, path) if finding.severity in JUDGED}
