"""Changes that clear findings: proposed by propagation, proved by capturing the model again and really running it."""

from __future__ import annotations

from analyzer.fixes.proof import prove
from analyzer.fixes.ranking import judge, judge_edits
from analyzer.fixes.real.bench import Bench
from analyzer.fixes.real.sources import InMemory, OnDisk, Source, on_disk
from analyzer.fixes.trial import Case, Reload

__all__ = ["Bench", "Case", "InMemory", "OnDisk", "Reload", "Source", "judge", "judge_edits", "on_disk", "prove"]
