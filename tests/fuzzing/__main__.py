"""`python -m tests.fuzzing --inputs N`: damaged and hostile inputs, and what the command makes of them.

A run goes on where the one before ended: --out keeps the figures of all of them. `--only KIND:N` writes one input into
a folder, and shows what comes of it.
"""

from __future__ import annotations

import argparse
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tests.fuzzing import page
from tests.fuzzing.driver import LARGE, Driver, Limits
from tests.fuzzing.failures import Results
from tests.fuzzing.inputs import Place
from tests.fuzzing.running import Task, build, made, run_all, run_one
from tests.fuzzing.seeds import KINDS

FIGURES: Final = Path(__file__).parent / "figures.json"
"""What came of all inputs so far: each run goes on, and adds to it."""
_PAUSE: Final = 20.0
"""Seconds between two times that the figures are kept."""
_WEIGHTS: Final = {"config": 4, "hub": 3, "recipe": 3, "program": 3, "adapter": 3, "pipeline": 2, "weights": 2}
"""How often a kind has its turn; the others once."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run them; 1 where something was found."""
    given = _arguments(argv)
    limits = Limits(given.deadline, given.max_memory)
    if given.only:
        return _only(given.only, given.seed, limits, given.into)
    results = Results.read(given.out)
    tasks = _tasks(given.inputs, given.seed, given.kinds or [kind for kind in KINDS if KINDS[kind]], results)
    for number in (signal.SIGINT, signal.SIGTERM):  # a shell starts what is in the background deaf to the first
        signal.signal(number, signal.default_int_handler)
    before, started, kept = results.faults, time.monotonic(), time.monotonic()
    missing = {(task.kind, task.number) for task in tasks}
    try:
        for number, (task, one) in enumerate(run_all(tasks, given.seed, given.jobs, limits), 1):
            results.add(one, given.seed)
            missing.discard((task.kind, task.number))
            if given.verbose or one.outcome.startswith("FAULT"):
                print(f"{one.name} {one.seconds} s {one.outcome}: {one.words[:160]} [{one.frame}]", flush=True)
            if time.monotonic() - kept > _PAUSE:
                kept = time.monotonic()
                _keep(results, given.seed, tasks, missing, given.out)
                print(f"{number} of {len(tasks)}, {number / (kept - started):.1f} a second", flush=True)
    except KeyboardInterrupt:
        print("interrupted; the next run goes on from here")
    _keep(results, given.seed, tasks, missing, given.out)
    print(page.table(results))
    for cause, group in results.ranked():
        print(f"{group.count:6} {cause}\n       {group.examples[0]}")
    if given.page:
        page.write(results)
    return int(results.faults > before)


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzzing", description=__doc__)
    parser.add_argument("--inputs", type=int, default=1000, help="how many")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--kinds", nargs="*", choices=list(KINDS))
    parser.add_argument("--out", type=Path, default=FIGURES, help="figures, kept over runs")
    parser.add_argument("--page", action="store_true", help="write the figures into docs/security.md")
    parser.add_argument("--only", metavar="KIND:N", help="one input, whole")
    parser.add_argument("--into", type=Path, default=Path("build/fuzzing"), help="where --only writes it")
    parser.add_argument("--verbose", action="store_true", help="print every input")
    parser.add_argument("--deadline", type=float, default=10.0)
    parser.add_argument("--max-memory", type=float, default=2.0)
    given = parser.parse_args(argv)
    given.out.parent.mkdir(parents=True, exist_ok=True)
    return given


def _tasks(inputs: int, seed: int, kinds: list[str], results: Results) -> list[Task]:
    """The next inputs of each kind, in turns."""
    turns = [kind for kind in kinds for _ in range(_WEIGHTS.get(kind, 1))]
    following = {kind: results.reached.get(f"{seed} {kind}", 0) for kind in kinds}
    tasks = []
    for number in range(inputs):
        kind = turns[number % len(turns)]
        tasks.append(Task(kind, following[kind]))
        following[kind] += 1
    return tasks


def _keep(results: Results, seed: int, tasks: list[Task], missing: set[tuple[str, int]], out: Path) -> None:
    """Save the figures, and from where each kind goes on: its first input that was not run."""
    for kind in {task.kind for task in tasks}:
        numbers = [task.number for task in tasks if task.kind == kind]
        left = [number for number in numbers if (kind, number) in missing]
        results.reached[f"{seed} {kind}"] = min(left, default=numbers[-1] + 1)
    results.save(out)


def _only(name: str, seed: int, limits: Limits, into: Path) -> int:
    kind, _, number = name.partition(":")
    task = Task(kind, int(number))
    into.mkdir(parents=True, exist_ok=True)
    seeds = into / "seeds"
    seeds.mkdir(exist_ok=True)
    build([task], seed, seeds)
    one = made(task, seed, seeds)
    place = Place(into.resolve() / f"{seed}-{kind}-{number}")
    if not place.root.exists():
        place.make(one.files)
    print(f"{one.name} of {one.seed}, in {place.work}:\n  " + "\n  ".join(one.trail))
    driver = Driver(into.resolve(), limits, LARGE)
    seen, shown = run_one(driver, one, limits), driver.see(one, debug=True)
    driver.close()
    print(f"{shown.out[-2000:]}\n{shown.err[-6000:]}\n{shown.traceback[-6000:]}\nexit code {shown.code}\n{seen}")
    print(f"cd {place.work} && analyze {' '.join(driver.argv(one))}")
    return int(seen.outcome.startswith("FAULT"))


if __name__ == "__main__":
    sys.exit(main())
