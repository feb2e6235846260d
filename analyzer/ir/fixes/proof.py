"""What became of a change when the model was really run, before and after it, beside a run in float64."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from analyzer.ir.literal_types import RealRunKind


@dataclass(frozen=True, slots=True)
class RealRun:
    """The second half of a proof: what real runs on the CPU say of a change that cleared the trace.

    >>> RealRun().words, RealRun("fails", "the real run gives NaN").words
    ('cleared in the trace, not run', 'does not help')
    """

    kind: RealRunKind = "not run"
    why: str = ""
    """Why it was not run, or what is wrong with what it gives; "" where it mends."""

    @property
    def words(self) -> str:
        """The outcome in a few words, without the reason."""
        return _WORDS[self.kind]


_WORDS: Final[dict[RealRunKind, str]] = {
    "mends": "proved",
    "fails": "does not help",
    "not run": "cleared in the trace, not run",
}
NOT_RUN = RealRun()
MENDS = RealRun("mends")
STILL_FAILS = RealRun("fails", "the real run ends in the same error")
