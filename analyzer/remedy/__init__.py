"""Changes that clear findings: proposed by propagation, proved by capturing the model again under them."""

from __future__ import annotations

from analyzer.remedy.judging import judge, judge_edits
from analyzer.remedy.proposal import Edit, Proposal
from analyzer.remedy.proving import prove
from analyzer.remedy.trial import Case, Reload, Trial

__all__ = ["Case", "Edit", "Proposal", "Reload", "Trial", "judge", "judge_edits", "prove"]
