"""Findings: what a rule says of a place in the graph, ready to be sorted, counted and printed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from analyzer.ir.fixes.effects import Effect
from analyzer.ir.fixes.proof import NOT_RUN, RealRun
from analyzer.ir.literal_types import SEVERITIES, AssumptionKind, OriginKind, Phase, Severity
from analyzer.ir.reason import UNKNOWN, Reason
from analyzer.ir.witness import NOBODY, Witness


@dataclass(frozen=True, slots=True, order=True)
class Origin:
    """Where a dtype comes from: a parameter, buffer, input, constant or cast, with its place (file:line) and reason.

    The kind of a cast that nobody wrote is who inserted it: "autocast", "accelerate".
    """

    kind: OriginKind
    name: str
    dtype: str
    file: str = ""
    line: int = 0
    reason: Reason = UNKNOWN
    source: str = ""
    """The text of that line, as far as it could be read."""


@dataclass(frozen=True, slots=True, order=True)
class Operand:
    """One tensor operand of the call that a finding is about."""

    position: int
    name: str
    dtype: str
    shape: tuple[int, ...] = ()
    origins: tuple[Origin, ...] = ()


@dataclass(frozen=True, slots=True)
class Fix:
    """A change that clears a finding; `proved` only if it clears it in the trace, and the real run mends as well."""

    what: str
    proved: bool
    errors_left: int
    bytes: int = 0
    """Change in memory of the stored tensors, in bytes."""
    cleared: bool = False
    """Whether the finding is gone in a second capture, under the change."""
    real: RealRun = NOT_RUN
    """What the real run says; it is asked only where the trace was cleared."""
    new_warnings: int = 0
    """How many warnings the second capture has that the first has not."""
    outputs: str = ""
    """Which results have another dtype: `1 output bf16->f32`."""
    values: tuple[Effect, ...] = ()
    """What becomes of the values."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One fault with one root cause. `nodes` are all places in the graph, the first one is described.

    A fault of stored tensors has their names in `tensors`; its nodes are those tensors, as far as a call reads them.
    """

    code: str
    name: str
    severity: Severity
    message: str
    op: str
    call: str
    module: str
    file: str
    line: int
    nodes: tuple[str, ...]
    operands: tuple[Operand, ...] = ()
    widened_ops: int = 0
    widened_bytes: int = 0
    asked: Witness = NOBODY
    """Whose kernel gave the words."""
    fixes: tuple[Fix, ...] = ()
    phase: Phase = ""
    """As in a graph node: "backward" or "recompute", where the fault is in no forward pass."""
    tensors: tuple[str, ...] = ()
    step: str = ""
    """As in a graph node: the forward pass that it is first seen in, where there are several."""
    source: str = ""
    """The text of the source line, as far as it could be read."""

    @property
    def count(self) -> int:
        """How many places this one cause shows at."""
        return len(self.tensors) or len(self.nodes)

    @property
    def rank(self) -> tuple[int, str, int, str, int]:
        """Sort key: worst first, then by code, by weight, by place; errors of one code stay as they are raised."""
        if self.severity == "error":
            return (0, self.code, 0, "", 0)
        return (SEVERITIES.index(self.severity), self.code, -self.widened_bytes, self.file, self.line)


@dataclass(frozen=True, slots=True, order=True)
class Assumption:
    """Something the trace had to invent, with the source line that asked for it."""

    what: str
    value: str
    file: str = ""
    line: int = 0
    count: int = 1
    kind: AssumptionKind = ""

    @classmethod
    def of_input(cls, name: str, value: str) -> Assumption:
        """What was made up for an input."""
        return cls(f"input {name}", value, kind="input")

    @property
    def where(self) -> str:
        """`file:line`, or the file where no line is meant; "" if nothing asked for it.

        >>> Assumption("dtype", "float32", "config.json").where
        'config.json'
        """
        return f"{self.file}:{self.line}" if self.line else self.file


Note = Callable[[str, str], None]
"""Tells what had to be assumed, and how."""


@dataclass(frozen=True, slots=True, order=True)
class Unentered:
    """A module that holds parameters and was never entered: no operation of its own, none of its parameters read.

    Several in a row of layers are one, with `*` for their numbers.
    """

    module: str
    parameters: int
    """Elements of the parameters of all of them."""
    count: int = 1


@dataclass(frozen=True, slots=True)
class Coverage:
    """How much was analysed: operations seen, what was invented, and why the trace stopped early ("" if it did not)."""

    ops: int = 0
    assumptions: tuple[Assumption, ...] = ()
    incomplete: str = ""
    """The error that stopped the run, its source line, and what was not reached; "" if the run came to its end."""
    never_entered: tuple[Unentered, ...] = ()
    """Top-most modules that took no part, in the model's order."""
