"""Colours: one table for dtypes, one for severities."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from analyzer.ir.dtypes import DTYPES


@dataclass(frozen=True, slots=True)
class Tint:
    """Colours of one dtype: pale where nothing happens, full on the way of a fault, and that of a line."""

    pale: str
    full: str
    line: str


@dataclass(frozen=True, slots=True)
class Rim:
    """Colour and width (points) of the border that a severity gives."""

    color: str
    width: float


TINTS: Final = {
    "bfloat16": Tint("#E4F1FA", "#B7DEF6", "#1F6FA8"),
    "float16": Tint("#DDF2EA", "#A9E2CB", "#00704F"),
    "float32": Tint("#FCEBC4", "#F3B440", "#A86200"),
    "float64": Tint("#F6E0EC", "#DE92BC", "#96316B"),
    "float": Tint("#F8E4D8", "#E8A27C", "#9A4A1C"),
    "int": Tint("#F5F3D7", "#E3DC82", "#6B6400"),
    "bool": Tint("#F5F3D7", "#E3DC82", "#6B6400"),
    "complex": Tint("#EAE2F3", "#BBA3D9", "#5B3A8C"),
    "": Tint("#EEEEEE", "#D5D5D5", "#555555"),
}
"""By dtype, else by its kind. Hues of the colour-blind safe palette of Okabe and Ito."""
RIMS: Final = {"error": Rim("#8B0000", 5), "warning": Rim("#A65300", 3.5), "note": Rim("#4A4A4A", 2)}
MIXED: Final = "#C00000"
MARKED: Final = "#0B5394"
"""What differs from another report; double borders and dashes say it too."""
QUIET: Final = "#A8A8A8"
FAINT: Final = "#555555"
"""Text of what recedes; it can still be read."""


def tint(dtype: str) -> Tint:
    """The colours of a dtype."""
    row = DTYPES.get(dtype)
    return TINTS.get(dtype) or TINTS[row.kind if row else ""]
