"""Which parameters the library's classes of layers took in older releases, by place, and whether they gave tuples."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

FILE: Final = Path(__file__).with_name("signatures.txt")
"""One line a class, method and list of parameters: `model Class.method release: parameters ()`; `()` gave a tuple."""


@dataclass(frozen=True, slots=True)
class Old:
    """The parameters of a method, in the order of the last release that had them so."""

    release: str
    names: tuple[str, ...]
    gave_tuple: bool


def old(model: str) -> dict[tuple[str, str], list[Old]]:
    """What is known of a model's classes: (class, method) -> its lists of parameters, the oldest first.

    >>> old("llama")["LlamaAttention", "forward"][-1].names[:2]
    ('hidden_states', 'position_embeddings')
    """
    return _read().get(model, {})


def parse(text: str) -> dict[str, dict[tuple[str, str], list[Old]]]:
    """The lines of the file, by model."""
    found: dict[str, dict[tuple[str, str], list[Old]]] = {}
    for line in text.splitlines():
        head, _, names = line.partition(": ")
        model, method, release = head.split(" ")
        cls, _, name = method.partition(".")
        taken = names.split()
        one = Old(release, tuple(one for one in taken if one != "()"), "()" in taken)
        found.setdefault(model, {}).setdefault((cls, name), []).append(one)
    return found


@cache
def _read() -> dict[str, dict[tuple[str, str], list[Old]]]:
    return parse(FILE.read_text(encoding="utf-8"))
