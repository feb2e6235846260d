"""Times the whole command on the sample beside the imports that it cannot do without, in turn, as ratios.

    python bench/command.py [RUNS]

Wall seconds and peak memory of whole processes, medians; nothing is asserted.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

SAMPLE = Path(__file__).parents[1] / "samples" / "minicpm_v_2"


def main() -> None:
    """Print one row a process, and the ratio of the command to the imports."""
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    with tempfile.TemporaryDirectory() as folder:
        out = str(Path(folder) / "graph.svg")
        commands = {
            "analyze trace": ["-m", "analyzer", "trace", str(SAMPLE), "--trust-remote-code", "--out", out],
            "import torch, transformers": ["-c", "import torch, transformers"],
            "import transformers' models": ["-c", "import torch; from transformers import PreTrainedModel"],
        }
        taken: dict[str, list[tuple[float, float]]] = {name: [] for name in commands}
        for _ in range(runs + 1):  # the first round warms the disk up
            for name, arguments in commands.items():
                taken[name].append(_run(arguments))
    ours_s, ours_m = (median(x[i] for x in taken["analyze trace"][1:]) for i in (0, 1))
    for name, seen in taken.items():
        seconds, mib = (median(x[i] for x in seen[1:]) for i in (0, 1))
        print(f"{name:28} {seconds:6.2f} s {mib:6.0f} MiB   ours/this {ours_s / seconds:5.2f} {ours_m / mib:5.2f}")


def _run(arguments: list[str]) -> tuple[float, float]:
    """Wall seconds and peak MiB of one Python process."""
    start = time.perf_counter()
    process = subprocess.Popen([sys.executable, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, _, usage = os.wait4(process.pid, 0)
    process.returncode = 0  # wait4 has reaped it
    return time.perf_counter() - start, usage.ru_maxrss / 1024


if __name__ == "__main__":
    main()
