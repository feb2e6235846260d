"""Plausible values where a float would decide: what was invented is written down with its source line."""

from __future__ import annotations

from collections import Counter
from typing import Any, Final

import torch

from analyzer.capture.abstract import Abstract, small
from analyzer.findings import Assumption
from analyzer.graph import Place

RANKED: Final = frozenset({"topk", "sort", "argsort", "argmax", "argmin", "max", "min", "multinomial", "mode"})
"""Operations whose integer outputs choose among things (experts, tokens): they get a round robin."""


class Inventions:
    """Invents values and remembers each kind of invention once, with its line and a count."""

    def __init__(self) -> None:
        self._seen: Counter[tuple[str, str, Place]] = Counter()

    def note(self, what: str, value: str, place: Place) -> None:
        """Write an assumption down."""
        self._seen[what, value, place] += 1

    def all(self) -> tuple[Assumption, ...]:
        """Everything that was assumed, sorted."""
        return tuple(sorted(Assumption(w, v, p.file, p.line, n) for (w, v, p), n in self._seen.items()))

    def scalar(self, tensor: Abstract, place: Place) -> Any:
        """A Python number for an unknown tensor of one element."""
        value = plausible(tensor).item()
        self.note("a tensor's value was read in Python", str(value), place)
        return value

    def value(self, tensor: Abstract, place: Place) -> torch.Tensor:
        """The real value of a tensor, or a plausible one."""
        if tensor.known is None:
            mask = tensor.dtype == torch.bool
            value = "ones" if tensor.dtype.is_floating_point else "zeros"
            value = "all true" if mask and tensor.guess is None else "as if every float were one" if mask else value
            self.note("a mask that depends on floats" if mask else "values that shapes depend on", value, place)
        return plausible(tensor)

    def ranking(self, output: Abstract, choices: int, place: Place) -> torch.Tensor | None:
        """Round-robin indexes below `choices` for an output that ranks unknown floats; None if it is too large."""
        if not small(output):
            return None
        self.note("which entries rank first", f"round robin over {choices}", place)
        flat = torch.arange(output.numel(), dtype=torch.int64) % max(choices, 1)
        return flat.reshape(output.shape).to(output.dtype)


def plausible(tensor: Abstract) -> torch.Tensor:
    """The known value, else a likely one: floats one, masks as they then come out (else all true), integers zero."""
    if tensor.known is not None:
        return tensor.known
    if tensor.guess is not None:
        return tensor.guess
    if tensor.sparse is not None:
        return tensor.sparse.to(tensor.dtype)
    ones = tensor.dtype == torch.bool or tensor.dtype.is_floating_point or tensor.dtype.is_complex
    return (torch.ones if ones else torch.zeros)(tensor.shape, dtype=tensor.dtype)
