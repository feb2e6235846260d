"""`python -m tests.coverage [PATTERN] [--again OUTCOME] [--tasks]`: traces every architecture of transformers.

Rows are kept as they come in, so that an interrupted run goes on where it stopped. Without a pattern, docs/coverage.md
gets the tables.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

import torch
import transformers
from transformers.utils import logging

from analyzer.ir.plan import Plan
from tests.coverage.beside import lies_beside
from tests.coverage.cases import cases
from tests.coverage.page import architectures, write
from tests.coverage.running import Row, apart, count, lacking, trace_case, trace_folder


def main(*, beside: bool = False) -> None:
    """Run what is asked for and not known yet, and say how much of it can be traced.

    What lacks a package that lies beside is run once more by a process with it; `beside` says that this is the one.
    """
    options = argparse.ArgumentParser()
    options.add_argument("pattern", nargs="?", default="")
    options.add_argument("--again", default="", help="outcomes to run once more, as a regular expression")
    options.add_argument("--tasks", action="store_true", help="the classes of every AutoModelFor as well")
    options.add_argument("--rows", type=Path, default=Path("build") / f"coverage-{transformers.__version__}.jsonl")
    asked = options.parse_args()
    torch.set_num_threads(1)
    logging.set_verbosity(logging.CRITICAL)
    known = read(asked.rows)
    warm_up()
    todo = [case for case in cases() if (asked.tasks or case.is_base) and re.search(asked.pattern, case.name)]
    for number, case in enumerate(todo):
        row = known.get(case.name)
        if row is not None and not (asked.again and re.search(asked.again, f"{row.outcome} {row.why}")):
            continue
        package = lacking(f"{row.why} {row.loss}") if row is not None and beside else ""
        row = known[case.name] = replace(apart(case.name, partial(trace_case, case)), beside=package)
        with asked.rows.open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(row)) + "\n")
        if sys.stderr.isatty() or os.environ.get("COVERAGE_VERBOSE"):
            print(
                f"{number + 1}/{len(todo)} {row.outcome:8} {row.seconds:5} s {row.name}: {row.why[:150]}",
                file=sys.stderr,
            )
    names = [case.name for case in todo if lies_beside(lacking(f"{known[case.name].why} {known[case.name].loss}"))]
    if names and not beside:
        command = [sys.executable, "-m", "tests.coverage.beside", f"^({'|'.join(map(re.escape, names))})$"]
        subprocess.run([*command, "--again", ".", "--tasks", "--rows", str(asked.rows)], check=True)
        known = read(asked.rows)
    print(dict(count([known[case.name] for case in todo])))
    if not asked.pattern and not beside:
        kinds = {"base classes": True, "task classes": False}
        for name, is_base in kinds.items():
            of_kind = [case for case in cases() if case.is_base is is_base]
            if any(case.name in known for case in of_kind):
                write(name, architectures(of_kind, known))


def warm_up() -> None:
    """Import here what every child needs, so that each begins with it."""
    with tempfile.TemporaryDirectory() as folder:
        transformers.LlamaConfig(num_hidden_layers=1, architectures=["LlamaForCausalLM"]).save_pretrained(folder)
        trace_folder("", Path(folder), Plan(dtype="bfloat16"))


def read(path: Path) -> dict[str, Row]:
    """The rows of a file, the last one of each name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return {data["name"]: Row(**{**data, "errors": tuple(data["errors"]), "warnings": tuple(data["warnings"])})
            for data in map(json.loads, lines)}  # fmt: skip


if __name__ == "__main__":
    main()
