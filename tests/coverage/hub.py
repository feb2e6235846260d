"""`python -m tests.coverage.hub DIR [PATTERN]`: traces each folder of published models in DIR, into docs/coverage.md.

With a PATTERN, only folders with it in their names, and the page stays as it is.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import torch
from transformers.utils import logging

from analyzer.ir.plan import Plan
from tests.coverage.__main__ import warm_up
from tests.coverage.page import WORDS, published, write
from tests.coverage.running import Row, apart, trace_folder

SOURCES = "SOURCES.tsv"
"""Beside the folders: where each file comes from, if that is known."""


def main(hub: Path, pattern: str = "") -> None:
    """Trace them, print a line each, and rewrite their part of the page."""
    torch.set_num_threads(1)
    logging.set_verbosity(logging.CRITICAL)
    warm_up()
    rows = []
    for row in trace_all(hub, pattern):
        rows.append(row)
        print(f"{row.name}: {WORDS[row.outcome]}, {row.seconds} s: {row.why[:200] or f'{row.ops} operations'}")
    if not pattern:
        write("published folders", published(rows, sources(hub)))


def trace_all(hub: Path, pattern: str = "") -> Iterator[Row]:
    """One row a folder, under the plan that a person gives none of: as the checkpoint and the config say."""
    folders = sorted(path for path in hub.iterdir() if path.is_dir() and pattern in path.name)
    return (apart(path.name, partial(trace_folder, path.name, path, Plan())) for path in folders)


def sources(hub: Path) -> dict[str, str]:
    """Folder -> the repository that its first file comes from."""
    file = hub / SOURCES
    if not file.is_file():
        return {}
    found: dict[str, str] = {}
    with file.open(encoding="utf-8", newline="") as stream:
        for line in csv.DictReader(stream, delimiter="\t"):
            parts = Path(line["path"]).parts
            if len(parts) > 1 and parts[0] == hub.name:
                found.setdefault(parts[1], line["source repo"])
    return found


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:3])
