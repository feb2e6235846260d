"""What a review adds to a report: which findings are known, which are suppressed, and which are new."""

from __future__ import annotations

from analyzer.check.baseline import Baseline, Entry
from analyzer.check.judgement import Check, Judged, judge
from analyzer.check.keys import Identity, identities
from analyzer.check.suppressions import Suppression

__all__ = ["Baseline", "Check", "Entry", "Identity", "Judged", "Suppression", "identities", "judge"]
