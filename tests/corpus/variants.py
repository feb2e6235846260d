"""Variants of the reported faults, as files with `build()`: other dtypes, other operators, both directions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from analyzer.ir.plan import Plan
from tests.corpus.case import CPU


@dataclass(frozen=True)
class Variant:
    """A file with a fault, and the set-up under which it shows."""

    code: str
    plan: Plan = CPU
    steps: str = ""


VARIANTS: Final[dict[str, Variant]] = {}
