"""Changes that clear findings: proposed by propagation, proved by capturing the model again under them."""

from __future__ import annotations

from analyzer.fixes.proof import prove
from analyzer.fixes.ranking import judge, judge_edits
from analyzer.fixes.trial import Case, Reload

__all__ = ["Case", "Reload", "judge", "judge_edits", "prove"]
