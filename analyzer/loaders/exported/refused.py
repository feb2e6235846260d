"""What a saved program holds that is not opened without trust."""

from __future__ import annotations


class Refused(Exception):
    """It could run code, or is nothing that `torch.export.save` writes; `str(error)` says what, in a few words."""


def short(text: object, most: int = 60) -> str:
    """A name as an error shows it."""
    said = str(text)
    return said if len(said) <= most else f"{said[:most]}..."
