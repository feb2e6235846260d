"""The names of packages that a person wants stand-ins for."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Final

from analyzer.errors import AnalyzerError

AUTO: Final = "auto"
"""In place of a package's name: everything that is missing."""
_NEVER: Final = frozenset({"analyzer", "numpy", "torch", "transformers", *sys.stdlib_module_names})


def parse_stubs(names: Iterable[str]) -> tuple[str, ...]:
    """Package names as Python imports them; each may be several with commas between.

    Raises AnalyzerError for what is no package, or nothing can stand in for.

    >>> parse_stubs(["flash-attn,decord", "decord"])
    ('flash_attn', 'decord')
    """
    found = []
    for name in (one for text in names for one in text.split(",")):
        plain = name.strip().replace("-", "_")
        if not plain.isidentifier():
            hint = "give packages as they are imported: --stub flash_attn,decord"
            raise AnalyzerError(f"--stub '{name}' is no package's name", hint=hint)
        if plain != AUTO and plain.lower() == AUTO:
            raise AnalyzerError(f"--stub {plain} is no package's name", hint=f"--stub {AUTO} stands in for all")
        if plain in _NEVER:
            raise AnalyzerError(f"--stub {plain}: nothing can stand in for it", hint="it is needed as it is")
        found.append(plain)
    return tuple(dict.fromkeys(found))
