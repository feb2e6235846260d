"""Whose kernel gave a verdict: one that was asked here, or one of another device whose answer is known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from analyzer.ir.literal_types import WitnessKind


@dataclass(frozen=True, slots=True)
class Witness:
    """Who refused a call: renderers decide by `kind`, people read `text`."""

    kind: WitnessKind = ""
    text: str = ""

    def __str__(self) -> str:
        return self.text

    @classmethod
    def of_device(cls, device: str, kind: WitnessKind, reference: str) -> Witness:
        """A device that was not asked, and where its answer is read.

        >>> str(Witness.of_device("cuda", "from source", "pytorch#135969"))
        'cuda, from source: pytorch#135969'
        """
        return cls(kind, f"{device}, {kind}: {reference}")

    @property
    def was_asked(self) -> bool:
        """Whether the words are those of this machine's CPU, for itself or in the place of another device."""
        return self.kind in ("cpu", "as on CPU")

    @property
    def knows_device(self) -> bool:
        """Whether the words are those of the plan's own device, as they were recorded, read, or stated."""
        return self.kind in ("recorded", "from source", "operator database")


NOBODY: Final = Witness()
"""No kernel was asked."""
CPU: Final = Witness("cpu", "cpu")
AS_ON_CPU: Final = Witness("as on CPU", "as on CPU")
"""Who refused, where nothing is known of the plan's device itself."""
