"""A case of the corpus: a small model with one reported fault, and what is to be said of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from torch import nn

from analyzer.ir.plan import Plan

CPU: Final = Plan(device="cpu")
Made = tuple[nn.Module, dict[str, Any]]
RAISES, SILENT, STOPS = "raises", "silent", "stops"
"""What happens: a call is refused, nothing is said, or a library stops the run and the trace with it."""


@dataclass(frozen=True)
class Case:
    """One reported fault. The words of an error are in none of the cases: they are asked of the real run."""

    report: str
    """Where it was reported: repository#number."""
    kind: str
    build: Callable[[bool], Made] | None = None
    """Makes the module and its inputs, with the fault or (True) mended."""
    folder: Callable[[Path, bool], None] | None = None
    """Writes a model folder in place of `build`, where the fault is made by loading."""
    code: str = "DT101"
    severity: str = "error"
    cause: str = ""
    """The origin that is to blame: "parameter name", or "cast here" for the line of the case marked `# here`.

    "call here" says that the marked call itself is the fault.
    """
    fix: str = ""
    """What the mended set-up does differently, in a few words."""
    plan: Plan = CPU
    mended_plan: Plan | None = None
    """The plan of the mended run, where it is not the first one."""
    off: float = 0.0
    """By how much a value of the silent fault is off at least; 0 where it shows in the dtypes of the results."""
    steps: str = ""
    """The forward passes, where one does not show it."""
    errors: int = 1
    """How many errors the one fault is, each at a call of its own."""
    alone: bool = True
    """Whether the cast that the trace proves is that of the tensor to blame; else others clear it as well."""
    castable: bool = True
    """Whether the cast of a stored tensor or an input clears it."""
    really: Callable[[nn.Module, dict[str, Any], Path], Any] | None = None
    """What is really done, where it is not a call of the model that fails: it is sharded, or an optimizer steps."""
    recorded: bool = False
    """Only CUDA shows it: the words are those that were recorded of a device."""

    def plan_of(self, mended: bool) -> Plan:
        """The plan of one of the two runs."""
        return self.mended_plan if mended and self.mended_plan else self.plan
