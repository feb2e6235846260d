"""What a node is told besides its operands: where it was called from, and how it was refused."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from analyzer.ir.graph import NOWHERE, Place, Script
from analyzer.ir.literal_types import Phase


@dataclass(frozen=True, slots=True)
class Site:
    """The call that an operation belongs to, by the names of the fields of a node."""

    module: str = ""
    call: str = ""
    place: Place = NOWHERE
    phase: Phase = ""
    step: str = ""


@dataclass(frozen=True, slots=True)
class Refusal:
    """How a call was refused and repaired, by the names of the fields of a node."""

    refused: str = ""
    repair: str = ""
    odd: tuple[int, ...] = ()
    script: Script | None = None
    callers: tuple[Place, ...] = ()


ACCEPTED: Final = Refusal()
"""Nothing was refused."""
