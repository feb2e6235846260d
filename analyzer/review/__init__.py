"""What a review adds to a report: which findings are known, which are suppressed, and which are new."""

from __future__ import annotations

from analyzer.review.baseline import Baseline, Entry
from analyzer.review.judging import Check, Judged, judge
from analyzer.review.keys import Identity, identities
from analyzer.review.suppressing import Suppression

__all__ = ["Baseline", "Check", "Entry", "Identity", "Judged", "Suppression", "identities", "judge"]
