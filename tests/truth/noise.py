"""What is said of stock models as their maintainers ship them: every finding above a note, one a line."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from analyzer import rules
from analyzer.ir.findings import Finding
from analyzer.propagate import propagate
from analyzer.running.forward import capture
from tests.truth.entry import Entry
from tests.truth.matrix import quiet, versions
from tests.truth.setups import SETUPS, Setup, prepare
from tests.truth.zoo import ZOO

SHIPPED: Final = (
    "bf16",
    "load bf16",
    "load auto",
    "load f16",
    "autocast",
    "train bf16",
    "train ckpt",
    "train autocast",
)
"""Set-ups in which nobody mixed anything."""


def said(entry: Entry, setup: Setup, device: str = "cuda") -> Iterator[Finding]:
    """Errors and warnings on a model that is uniform but for what its class keeps in float32."""
    with tempfile.TemporaryDirectory() as folder:
        _, loaded = prepare(entry, setup, Path(folder), device)
        captured = capture(loaded, setup.plan(device))
        if captured.stop and not isinstance(captured.stop.error, NotImplementedError):  # a model without training
            captured.whole()
    flow = propagate(captured.graph, setup.plan(device))
    yield from (finding for finding in rules.check(flow) if finding.severity != "note")


def section(only: str = "") -> str:
    """How many errors and warnings each set-up gives, and every one of them, as a part of the page."""
    models = [entry for entry in ZOO.values() if only in entry.name]
    lines = ["| set-up | models | errors | warnings |", "|---|---|---|---|"]
    every: list[str] = []
    for name in SHIPPED:
        counts: Counter[str] = Counter()
        for entry in models:
            for f in said(entry, SETUPS[name]):
                counts[f.severity] += 1
                every.append(f"- {entry.name}, {name}: {f.code} {f.severity} at {f.file}:{f.line}: {f.message}")
        lines.append(f"| {name} | {len(models)} | {counts['error']} | {counts['warning']} |")
    return "\n".join([*lines, "", *(every or ["Nothing is said of any."]), "", versions()]) + "\n"


if __name__ == "__main__":
    quiet()
    print(section())
