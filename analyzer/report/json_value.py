"""What JSON can hold, as a type."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias, Union

Json: TypeAlias = Union["Mapping[str, Json]", "Sequence[Json]", str, int, float, bool, None]
"""A value of JSON: what a renderer writes, and what a file of settings gives."""
JsonObject: TypeAlias = dict[str, Json]
"""An object of JSON, as it is made."""
