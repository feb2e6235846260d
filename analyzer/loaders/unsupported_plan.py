"""Refuses what a plan asks for and a kind of model cannot have, in one line."""

from __future__ import annotations

from typing import Final

from analyzer.errors import AnalyzerError
from analyzer.ir.plan import Plan

_FIELDS: Final = {
    "dtype": ("--dtype", "it has the dtypes that it has; --to casts it afterwards"),
    "adapter": ("--adapter", "give the folder of the adapter's base model"),
    "train": ("--train", "give what is trained: a transformers model, or a part of this"),
}
"""Field of a plan -> the option that sets it, and what to do instead."""


def refuse(plan: Plan, what: str, *fields: str) -> None:
    """Raise AnalyzerError if the plan sets one of these fields, which `what` cannot have."""
    for name in fields:
        option, hint = _FIELDS[name]
        if getattr(plan, name):
            raise AnalyzerError(f"{what} takes no {option}", hint=hint)
