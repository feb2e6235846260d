"""How wide a text is in Helvetica, in which pictures are laid out."""

from __future__ import annotations

from typing import Final

_GROUPS: Final = {
    191: "'",
    222: "ijl",
    260: "|",
    278: " \u00a0!,./:;I[]\\ft",
    333: "()-`r",
    334: "{}",
    355: '"',
    389: "*",
    469: "^",
    500: "Jcksvxyz",
    556: "#$0123456789?L_abdeghnopqu",
    584: "+<=>~",
    611: "FTZ",
    667: "&ABEKPSVXY",
    722: "CDHNRUw",
    778: "GOQ",
    833: "Mm",
    889: "%",
    944: "W",
    1015: "@",
}
WIDTHS: Final = {letter: width for width, letters in _GROUPS.items() for letter in letters}
"""Widths in thousandths of the font's size, from Adobe's metrics of the standard PostScript fonts."""


def width(text: str, size: float) -> float:
    """Points that a text takes at a font size; 0 if one of its characters is not in the table.

    >>> round(width("bf16", 10), 2)
    19.46
    """
    return sum(WIDTHS.get(c, 0) for c in text) * size / 1000 if WIDTHS.keys() >= set(text) else 0.0
