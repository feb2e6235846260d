"""The forward passes of one trace: their names, as people write them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Final

from analyzer.errors import AnalyzerError
from analyzer.ir.literal_types import STEPS, StepKind, one_of

FORWARD: Final = "forward"
PREFILL: Final = "prefill"
DECODE: Final = "decode"
LENGTH: Final = "length"
IMAGE: Final = "image"
_KINDS: Final[dict[StepKind, str]] = {
    FORWARD: "",
    PREFILL: "word",
    DECODE: "",
    LENGTH: "number",
    IMAGE: "number",
}
"""What stands after the `=`: nothing, a word that may be left out (the kind of cache), a number that may not."""
TWICE: Final = "forward,forward"
_HINT: Final = "such as prefill,decode or prefill=static,decode or forward,length=4096 or forward,image=448"


@dataclass(frozen=True, slots=True)
class Step:
    """One forward pass. `label` names it in the report: the second of a kind has a number."""

    kind: StepKind
    value: str = ""
    label: str = ""

    @property
    def generates(self) -> bool:
        """Whether it is a part of generating text."""
        return self.kind in (PREFILL, DECODE)


def parse_steps(text: str) -> tuple[Step, ...]:
    """The steps that a text such as `prefill,decode` or `length=16,length=4096` asks for; AnalyzerError if none."""
    return _labelled(_step(part.strip()) for part in text.split(",")) if text.strip() else ()


def _step(text: str) -> Step:
    kind, equals, value = text.partition("=")
    if kind not in STEPS:
        near = get_close_matches(kind, _KINDS, 1)
        raise AnalyzerError(f"unknown step '{kind}'", hint=f"did you mean '{near[0]}'?" if near else _HINT)
    step = one_of(STEPS, kind)
    wants = _KINDS[step]
    if bool(equals) != bool(value) or (value and not wants):
        raise AnalyzerError(f"step '{text}' is not understood", hint=_HINT)
    if wants == "number" and not (value.isdecimal() and int(value)):
        raise AnalyzerError(f"step '{text}' needs a number, as in {kind}=448", hint=_HINT)
    return Step(step, value)


def _labelled(steps: Iterable[Step]) -> tuple[Step, ...]:
    counts: Counter[str] = Counter()
    made: list[Step] = []
    for step in steps:
        name = f"{step.kind} {step.value}".strip()
        counts[name] += 1
        label = f"{name}, {counts[name]}" if counts[name] > 1 else name
        if step.kind == DECODE and not (made and made[-1].generates):
            raise AnalyzerError("decode comes after prefill", hint="such as --steps prefill,decode")
        made.append(Step(step.kind, step.value, label))
    return tuple(made)
