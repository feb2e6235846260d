"""What is said of stock models as their maintainers ship them: every finding above a note, one a line."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

from analyzer import rules
from analyzer.capture.run import capture
from analyzer.findings import Finding
from analyzer.propagate import propagate
from tests.truth.entry import Entry
from tests.truth.matrix import quiet
from tests.truth.setups import SETUPS, Setup, prepare
from tests.truth.zoo import ZOO

SHIPPED = ("load bf16", "load auto", "load f16")


def said(entry: Entry, setup: Setup, device: str = "cuda") -> Iterator[Finding]:
    """Errors and warnings on a model loaded by name, uniform but for what its class keeps in float32."""
    with tempfile.TemporaryDirectory() as folder:
        _, loaded = prepare(entry, setup, Path(folder), device)
        captured = capture(loaded, setup.plan(device))
    flow = propagate(captured.graph, setup.plan(device))
    yield from (finding for finding in rules.check(flow) if finding.severity != "note")


if __name__ == "__main__":
    quiet()
    for name in SHIPPED:
        for entry in ZOO.values():
            for f in said(entry, SETUPS[name]):
                print(
                    f"{name}, {entry.name}: {f.code} {f.severity} {f.file}:{f.line} {f.message} ({f.widened_ops} ops)"
                )
