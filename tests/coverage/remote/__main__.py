"""`python -m tests.coverage.remote DIR [PATTERN]`: traces each remote code of codes.tsv, laid out from mirrors in DIR.

Rows are kept as they come in, so that an interrupted run goes on where it stopped; without a pattern docs/coverage.md
gets the table. DIR holds one git directory for each repository, named owner+name.
"""

from __future__ import annotations

import argparse
import json
import os
import queue
import re
import tempfile
from collections import Counter
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict
from functools import partial
from pathlib import Path

from tests.coverage.remote import page
from tests.coverage.remote.mirrors import Code, codes, lay_beside, lay_out
from tests.coverage.remote.tracing import MISSING, Row, trace


def main() -> None:
    """Trace what is asked for and not known yet, two at a time, and say how far they got."""
    options = argparse.ArgumentParser()
    options.add_argument("mirrors", type=Path)
    options.add_argument("pattern", nargs="?", default="")
    options.add_argument("--again", default="", help="outcomes or words to run once more, as a regular expression")
    options.add_argument("--jobs", type=int, default=2, help="how many at a time, each on a core of its own")
    options.add_argument("--rows", type=Path, default=Path("build") / "remote.jsonl")
    options.add_argument("--lay-out", type=Path, metavar="INTO", help="only write the folders, and keep them")
    asked = options.parse_args()
    todo = [code for code in codes() if re.search(asked.pattern, code.title)]
    if asked.lay_out:
        for code in todo:
            print(f"{code.title}: {lay_out(code, asked.mirrors, asked.lay_out / code.title) or 'laid out'}")
        return
    known = read(asked.rows)
    again = re.compile(asked.again) if asked.again else None
    left = [code for code in todo if _is_open(known.get(code.title), again)]
    cores: queue.Queue[int] = queue.Queue()
    available = sorted(os.sched_getaffinity(0))
    for number in range(asked.jobs):
        cores.put(available[number % len(available)])
    with ThreadPoolExecutor(asked.jobs) as pool:
        for done in as_completed([pool.submit(_traced, code, asked.mirrors, cores) for code in left]):
            row = done.result()
            known[row.name] = row
            with asked.rows.open("a", encoding="utf-8") as file:
                file.write(json.dumps(asdict(row)) + "\n")
            print(f"{row.name}: {row.outcome} {row.hint} {row.seconds} s {row.mib} MiB {row.why[:200]}", flush=True)
    print(dict(Counter(known[code.title].outcome for code in todo)))
    if not asked.pattern:
        page.write(todo, known)


def _is_open(row: Row | None, again: re.Pattern[str] | None) -> bool:
    return row is None or bool(again and again.search(f"{row.outcome} {row.why}"))


def _traced(code: Code, mirrors: Path, cores: queue.Queue[int]) -> Row:
    core = cores.get()
    try:
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place, code.name)
            lacking = lay_out(code, mirrors, folder)
            if lacking:
                return Row(code.title, MISSING, why=lacking)
            return trace(code.title, folder, core, partial(lay_beside, code, mirrors, folder))
    finally:
        cores.put(core)


def read(path: Path) -> dict[str, Row]:
    """The rows of a file, the last one of each name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return {
        data["name"]: Row(**{**data, "errors": tuple(data["errors"]), "warnings": tuple(data["warnings"])})
        for data in map(json.loads, lines)
    }


if __name__ == "__main__":
    main()
