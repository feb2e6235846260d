"""Why a stored tensor has its dtype: what tells the reasons apart, and the words for people."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Final

from analyzer.ir.literal_types import ReasonKind


@dataclass(frozen=True, slots=True, order=True)
class Reason:
    """One reason: rules decide by `kind`, people read `text`; two of the same words are equal.

    >>> str(Reason("cast by model.to(float32)", "cast_by_plan"))
    'cast by model.to(float32)'
    """

    text: str = ""
    kind: ReasonKind = field(default="", compare=False)  # the text form of a graph has the words alone
    kept_by: str = field(default="", compare=False)
    """The list of its model's class that names it as one to stay in float32, even if something cast it since."""
    narrowed_from: str = field(default="", compare=False)
    """The dtype that it had before a cast of the whole model narrowed it."""

    def __str__(self) -> str:
        return self.text

    def stored_as(self, dtype: str, shard: str) -> Reason:
        """The reason, and how a checkpoint's file holds the tensor."""
        return replace(self, text=f"{self.text}; stored as {dtype} in {shard}")


UNKNOWN: Final = Reason()
"""The reason of what nothing is known of."""


def kept_in_fp32(by: str) -> Reason:
    """The reason of a tensor that a list of its model's class, of this name, keeps wide."""
    return Reason(f"kept in float32 by {by}", "kept_in_fp32", kept_by=by)
