"""Times whole commands on the sample beside the imports that they cannot do without, in turn, as ratios.

    python bench/command.py [RUNS]

CPU seconds, the worker's included, wall seconds and peak memory of the largest process, medians; nothing is asserted.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Final

SAMPLE: Final = Path(__file__).parents[1] / "samples" / "minicpm_v_2"
IMPORTS: Final = "import of torch and transformers' modelling base"
UNCONFINED: Final = """
import sys
from analyzer.worker import channel
channel.BOOT = channel.BOOT.replace("main()", '''
from analyzer.worker import worker_main
worker_main.confine = lambda *_, **__: worker_main.Confined(False, False, False, False)
main()
''')
from analyzer.cli import main
main(sys.argv[1:])
"""
"""The command with a worker that confines nothing, to see what confinement costs."""


@dataclass(frozen=True, slots=True)
class Taken:
    """What one run of a command took: seconds, seconds, MiB."""

    cpu: float
    wall: float
    memory: float


def main() -> None:
    """Print one row a command, and how each relates to the imports."""
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    with tempfile.TemporaryDirectory() as folder:
        report, out = Path(folder) / "report.json", str(Path(folder) / "graph.svg")
        trace = ["trace", str(SAMPLE), "--trust-remote-code"]
        _run(["-m", "analyzer", *trace, "--out", str(report)])
        commands = {
            IMPORTS: ["-c", "import torch, transformers.modeling_utils"],
            "analyze trace --out graph.svg": ["-m", "analyzer", *trace, "--out", out],
            "the same, not confined": ["-c", UNCONFINED, *trace, "--out", out],
            "analyze draw --out graph.svg": ["-m", "analyzer", "draw", str(report), "--out", out],
        }
        taken: dict[str, list[Taken]] = {name: [] for name in commands}
        for _ in range(runs + 1):  # the first round warms the disk up
            for name, arguments in commands.items():
                taken[name].append(_run(arguments))
    base = _median(taken[IMPORTS][1:])
    for name, seen in taken.items():
        one = _median(seen[1:])
        print(f"{name:52} cpu {one.cpu:5.2f} s  wall {one.wall:5.2f} s  {one.memory:5.0f} MiB  "
              f"cpu / imports {one.cpu / base.cpu:4.2f}")  # fmt: skip


def _median(seen: list[Taken]) -> Taken:
    return Taken(*(median(getattr(one, name) for one in seen) for name in ("cpu", "wall", "memory")))


def _run(arguments: list[str]) -> Taken:
    """One Python process and those that it waits for."""
    start = time.perf_counter()
    process = subprocess.Popen([sys.executable, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, _, usage = os.wait4(process.pid, 0)
    process.returncode = 0  # wait4 has reaped it
    return Taken(usage.ru_utime + usage.ru_stime, time.perf_counter() - start, usage.ru_maxrss / 1024)


if __name__ == "__main__":
    main()
