"""What each float dtype can hold: its precision, its greatest number, and the least that is not zero."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from analyzer.ir.dtypes import DTYPES
from analyzer.ir.values.arithmetic import Range


@dataclass(frozen=True, slots=True)
class Limits:
    """What a binary format of IEEE 754's kind holds, by its significant bits and those of its exponent."""

    bits: int
    exponent: int

    @property
    def top(self) -> int:
        """Numbers of this power of two and above are infinite."""
        return 1 << (self.exponent - 1)

    @property
    def whole(self) -> int:
        """Up to this magnitude every whole number is held."""
        return 1 << self.bits

    @property
    def overflow(self) -> float:
        """The least magnitude that rounds to infinity."""
        return (2.0 - 2.0**-self.bits) * 2.0 ** (self.top - 1)

    @property
    def underflow(self) -> float:
        """The greatest magnitude that rounds to zero."""
        return 2.0 ** (2 - self.top - self.bits)

    def holds(self, number: float) -> bool:
        """Whether a number is held as it is.

        >>> LIMITS["bfloat16"].holds(3.5), LIMITS["bfloat16"].holds(257.0)
        (True, False)
        """
        mantissa, exponent = math.frexp(number)
        return (mantissa * self.whole).is_integer() and exponent <= self.top and abs(number) < self.overflow


LIMITS: Final = {name: Limits(DTYPES[name].bits, DTYPES[name].exponent) for name in ("float16", "bfloat16", "float32")}


def keeps(dtype: str, given: Range | None) -> bool:
    """Whether a dtype holds all of some numbers as they are; not where nothing is known of them.

    >>> keeps("bfloat16", Range(0, 256, whole=True)), keeps("bfloat16", Range(0, 257, whole=True))
    (True, False)
    """
    limits = LIMITS.get(dtype)
    if given is None or limits is None:
        return False
    return limits.holds(given.low) if given.is_one else given.whole and given.most <= limits.whole
