"""Plausible values where a float would decide: what was invented is written down with its source line."""

from __future__ import annotations

from collections import Counter
from math import prod
from typing import Any, Final

import torch

from analyzer.capture.tensor import LARGE, Abstract, small
from analyzer.ir.findings import Assumption
from analyzer.ir.graph import Place

RANKED: Final = frozenset(
    {"topk", "sort", "argsort", "argmax", "argmin", "max", "min", "multinomial", "mode", "kthvalue", "median"}
)
"""Operations whose integer outputs choose among things (experts, tokens): they get a round robin."""

VALUES_FIRST: Final = RANKED - {"argsort", "argmax", "argmin", "multinomial"}
"""Those of them whose first output holds what was chosen, not which."""

ROUNDS: Final = 1024
"""How often one line of a module gets the same answer: more experts than any model has, fewer than a graph can bear."""


class Inventions:
    """Invents values and remembers each kind of invention once, with its line and a count."""

    def __init__(self) -> None:
        self._seen: Counter[tuple[str, str, Place]] = Counter()
        self._asked: Counter[tuple[Place, str]] = Counter()

    def note(self, what: str, value: str, place: Place) -> None:
        """Write an assumption down."""
        self._seen[what, value, place] += 1

    @property
    def count(self) -> int:
        """How often something was made up or assumed."""
        return self._seen.total()

    def all(self) -> tuple[Assumption, ...]:
        """Everything that was assumed, sorted."""
        return tuple(sorted(Assumption(w, v, p.file, p.line, n) for (w, v, p), n in self._seen.items()))

    def scalar(self, tensor: Abstract, place: Place, module: str) -> Any:
        """A Python number for an unknown tensor of one element that the code of `module` reads.

        A loop that waits for another answer gets it after ROUNDS; raises RuntimeError if that does not end it.
        """
        value = plausible(tensor).item()
        self._asked[place, module] += 1
        if self._asked[place, module] > 2 * ROUNDS:
            raise RuntimeError(f"a loop that floats decide did not end in {2 * ROUNDS:,} rounds")
        if self._asked[place, module] > ROUNDS:
            value = type(value)(not value)
        self.note("a tensor's value was read in Python", str(value), place)
        return value

    def value(self, tensor: Abstract, place: Place) -> torch.Tensor:
        """The real value of a tensor, or a plausible one."""
        if tensor.known is not None:
            return tensor.known
        mask, guess = tensor.dtype == torch.bool, guessed(tensor)
        if mask and (guess is None or not guess.any()):  # a mask that selects nothing would stop most code
            self.note("a mask that depends on floats", "all true", place)
            return _filled(tensor)
        value = "as if every float were one" if guess is not None else "ones" if _ones(tensor.dtype) else "zeros"
        self.note("a mask that depends on floats" if mask else "values that shapes depend on", value, place)
        return plausible(tensor)

    def ranking(self, output: Abstract, choices: int, dim: int | None, place: Place) -> torch.Tensor | None:
        """Round-robin indexes below `choices` for an output that ranks unknown floats; None if it is too large.

        Along `dim` no index comes twice, as far as there are enough to choose from.
        """
        if not small(output):
            return None
        self.note("which entries rank first", f"round robin over {choices}", place)
        flat = torch.arange(output.numel(), dtype=torch.int64) % max(choices, 1)
        if dim is None or not -output.dim() <= dim < output.dim():
            return flat.reshape(output.shape).to(output.dtype)
        last = list(output.shape)
        last.append(last.pop(dim))
        return flat.reshape(last).movedim(-1, dim).contiguous().to(output.dtype)


def plausible(tensor: Abstract) -> torch.Tensor:
    """The known value, else a likely one: floats one, masks as they then come out (else all true), integers zero."""
    if tensor.known is not None:
        return tensor.known
    guess = guessed(tensor)
    if guess is not None:
        return guess
    if tensor.sparse is not None:
        return tensor.sparse.to(tensor.dtype)
    return _filled(tensor)


def _filled(tensor: Abstract) -> torch.Tensor:
    """Ones or zeros; a large tensor has but one of them, which stands at every place."""
    make = torch.ones if _ones(tensor.dtype) else torch.zeros
    if prod(tensor.shape) * tensor.itemsize > LARGE:
        return make((), dtype=tensor.dtype).expand(tensor.shape)
    return make(tensor.shape, dtype=tensor.dtype)


def guessed(tensor: Abstract) -> torch.Tensor | None:
    """The guess at a mask or count, unless its memory was written since."""
    version, value = tensor.guess or (-1, None)
    return value if version == tensor.cell.version else None


def _ones(dtype: torch.dtype) -> bool:
    return dtype == torch.bool or dtype.is_floating_point or dtype.is_complex
