"""What a run reads: an output that would replace any of it is refused before anything is read."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Final

from analyzer.errors import AnalyzerError
from analyzer.worker.protocol import TraceRequest

_NEVER_READ: Final = frozenset({".svg", ".html", ".dot", ".png", ".pdf", ".md", ".sarif", ".xml", ".txt"})
"""Suffixes of files that may be outputs of an earlier run, even in a model's folder."""
_VOCABULARIES: Final = ("vocab.txt", "merges.txt")
_OURS: Final = re.compile(
    rb'\s*(\[\]|\[\s*\{\s*"description"|\{\s*("\$?schema"|"version"\s*:\s*\d+\s*,\s*"findings")\s*:)'
)
"""How the JSON begins that analyze writes; the settings of a model are another's."""
_BEGINNING: Final = 200
_MOST: Final = 100_000
"""Files of a folder that are looked at."""


@dataclass(frozen=True, slots=True)
class Inputs:
    """The files and the folders that a run reads."""

    files: tuple[Path, ...] = ()
    folders: tuple[Path, ...] = ()

    @classmethod
    def of(cls, requests: Iterable[TraceRequest], *files: Path | None) -> Inputs:
        """Those of the models that are traced, and further files."""
        asked = list(requests)
        named = [[one.plan_file, one.inputs, *one.recipes] for one in asked]
        models = [Path(one.model) for one in asked]
        beside = [file for model in models if model.suffix == ".py" for file in sorted(model.parent.glob("*.py"))]
        adapters = [Path(str(one.flags["adapter"])) for one in asked if one.flags.get("adapter")]
        return cls(
            (*models, *beside, *map(Path, filter(None, chain(*named))), *filter(None, files)), (*models, *adapters)
        )

    def refuse(self, output: Path) -> None:
        """Raise AnalyzerError for an output that is one of them, under whatever name."""
        if not output.is_file():
            return
        found = next((one for one in self.files if same(one, output)), None)
        if found is None and not _may_be_replaced(Path(os.path.realpath(output))):
            found = next((one for one in chain.from_iterable(map(_in, self.folders)) if same(one, output)), None)
        if found is not None:
            called = "" if found == output else f" ({found})"
            raise AnalyzerError(f"{output} is read by this run{called}", hint="give another file")

    def refuse_folder(self, output: Path) -> None:
        """Raise AnalyzerError for a folder of outputs that is one which is read."""
        if any(same(one, output) for one in self.folders):
            raise AnalyzerError(f"{output} is read by this run", hint="give another folder")


def same(one: Path, other: Path) -> bool:
    """Whether two paths lead to one file, which need not be there yet."""
    try:
        return one.samefile(other)
    except (OSError, ValueError):
        return os.path.realpath(one) == os.path.realpath(other)


def _in(folder: Path) -> Iterator[Path]:
    return islice((Path(top, name) for top, _, names in os.walk(folder) for name in names), _MOST)


def _may_be_replaced(file: Path) -> bool:
    """Whether a file that is there looks like an output, so that it may be one in the folder of a model too."""
    suffix = file.suffix.lower()
    if suffix in _NEVER_READ:
        return file.name not in _VOCABULARIES
    if suffix != ".json":
        return False
    try:
        with file.open("rb") as opened:
            return bool(_OURS.match(opened.read(_BEGINNING)))
    except OSError:
        return False
