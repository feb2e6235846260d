"""What came of one proposal when the model was run again under it."""

from __future__ import annotations

from dataclasses import dataclass

from analyzer.ir.closed_sets import PROPOSALS
from analyzer.ir.proposal import Failure, Proposal


@dataclass(frozen=True, slots=True)
class Trial:
    """What a proposal does, over all stages; `ran` tells whether the model was captured under it."""

    proposal: Proposal
    ran: bool = False
    errors_before: int = 0
    errors_left: int = 0
    new_promotions: int = 0
    bytes: int = 0
    places: int = 0
    casts: str = ""
    """What it casts: `1 parameter f32->bf16, 80 buffers f32->bf16`."""
    failed: Failure | None = None
    """Why it could not be run; None if nothing kept it from that."""

    @property
    def proved(self) -> bool:
        """Whether it was run, and left fewer errors than there were."""
        return self.ran and self.errors_left < self.errors_before

    @property
    def clears(self) -> bool:
        """Whether it was run, and no error was left."""
        return self.ran and self.errors_left == 0

    @property
    def rank(self) -> tuple[bool, int, int, int, int, int, str]:
        """Sort key, a total order: nothing about when or in which order it was tried is in it.

        What was proved comes before all else, that with fewer errors left first; then the fewest new promotions, the
        fewest places, the least memory in bytes, the narrower kind, and the words.
        """
        kind = PROPOSALS.index(self.proposal.kind)
        cost = self.new_promotions, self.places, self.bytes
        return (not self.proved, self.errors_left, *cost, kind, self.proposal.what)

    def verdict(self) -> str:
        """The trial in a few words."""
        if self.failed:
            return str(self.failed)
        if not self.ran:
            return "not run"
        if not self.errors_before:
            return "no error before or after" if self.clears else f"makes {_errors(self.errors_left)}"
        if self.clears:
            return "proved: clears all"
        left = f"{_errors(self.errors_left)} left of {self.errors_before}"
        return f"proved in part: {left}" if self.proved else f"does not help: {left}"


def _errors(count: int) -> str:
    return f"{count} error{'' if count == 1 else 's'}"
