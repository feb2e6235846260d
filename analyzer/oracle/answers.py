"""What a kernel says of a call: the dtypes that it gives, that it refuses, or that it could not be asked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from analyzer.ir.witness import CPU, Witness


@dataclass(frozen=True, slots=True)
class Dtypes:
    """The kernel ran; these are the dtypes of its outputs, in order."""

    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Refused:
    """The kernel would not take these dtypes, in its own words.

    `gap` says that it refuses the same words for a uniform half-precision dtype because this device has no such
    kernel ("not implemented for 'Half'"): a fact about the CPU, not about the mixture.
    """

    message: str
    gap: bool = False
    confirm: bool = False
    """Perhaps for another layout, or other integers, than the call's own: who has these puts the call once more."""
    changes: tuple[tuple[int, str], ...] = ()
    """Operands, by their position among all tensors, and the dtypes in which the kernel takes the call.

    Empty where one dtype for all floats does it.
    """
    asked: Witness = CPU
    """Whose words these are; of another device with their source: `cuda, from source: pytorch#135969`."""


@dataclass(frozen=True, slots=True)
class Unanswered:
    """Neither the shrunken nor the exact call could be put to the kernel, whatever the dtypes."""

    reason: str
    refused: bool = False
    """The reason is what the kernel said; it may be the call's own error, or only that of the operands made for it."""


Answer: TypeAlias = Dtypes | Refused | Unanswered
