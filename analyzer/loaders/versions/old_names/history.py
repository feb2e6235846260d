"""Which release of transformers had a name that the installed one lacks."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from analyzer.errors import AnalyzerError


class GoneError(AnalyzerError):
    """The model's code takes a name from transformers that the installed one lacks; `had` is the last that had it."""

    def __init__(self, message: str, had: str, *, hint: str) -> None:
        super().__init__(message, hint=hint)
        self.had = had


FILE: Final = Path(__file__).with_name("history.txt")
"""One line a module and release: `module release: name()  name`; `name()` can be called, `-` is the module itself.

A name may be one of a class, `PreTrainedModel.get_head_mask()`, by what the newest release calls the class.
"""


@dataclass(frozen=True, slots=True)
class Past:
    """A name of the past: the last release that had it, and whether it was a function or a class."""

    release: str
    callable: bool


def past(module: str, name: str = "") -> Past | None:
    """What is known of a name in a module, or of the module itself; None if no release had it, as far as is known.

    >>> past("transformers.utils", "is_torch_fx_available")
    Past(release='4.57', callable=True)
    >>> past("transformers.deepspeed").callable
    False
    """
    return _read().get((module, name))


def parse(text: str) -> dict[tuple[str, str], Past]:
    """The lines of the file, by module and name; the module itself by the name ""."""
    found = {}
    for line in text.splitlines():
        head, _, names = line.partition(": ")
        module, _, release = head.partition(" ")
        for name in names.split():
            plain = name.removesuffix("()")
            found[module, "" if plain == "-" else plain] = Past(release, name != plain)
    return found


def dump(found: dict[tuple[str, str], Past]) -> str:
    """The text that `parse` reads, sorted."""
    lines: dict[tuple[str, str], list[str]] = {}
    for (module, name), one in found.items():
        lines.setdefault((module, one.release), []).append((name or "-") + "()" * one.callable)
    return "".join(
        [f"{module} {release}: {' '.join(sorted(names))}\n" for (module, release), names in sorted(lines.items())]
    )


def release_in(folder: Path) -> str:
    """The minor release of transformers that was unpacked into a folder. Raises SystemExit where there is none."""
    text = (folder / "transformers" / "__init__.py").read_text(encoding="utf-8")
    found = re.search(r'__version__ = "(\d+\.\d+)', text)
    if found is None:
        raise SystemExit(f"no release of transformers in {folder}")
    return found[1]


@cache
def _read() -> dict[tuple[str, str], Past]:
    return parse(FILE.read_text(encoding="utf-8"))
