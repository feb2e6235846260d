"""Runs many inputs in several jobs, each with a driver of its own."""

from __future__ import annotations

import os
import pickle
import shutil
import signal
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from typing import Final

from tests.fuzzing.driver import LARGE, Driver, Limits
from tests.fuzzing.failures import Result, result
from tests.fuzzing.inputs import Input, Seed
from tests.fuzzing.mutating import mutate, seed_name
from tests.fuzzing.verdict import judge

_FRESH: Final = 400
"""Inputs of a job before it starts anew, so that nothing that a long run gathers is taken for a fault."""


@dataclass(frozen=True, slots=True)
class Task:
    """Which input is meant."""

    kind: str
    number: int


def build(tasks: Iterable[Task], seed: int, folder: Path) -> None:
    """Make the seeds that the inputs need, each into a file of the folder."""
    from tests.fuzzing.seeds import KINDS

    for kind, name in sorted({(task.kind, _named(task, seed)) for task in tasks}):
        (folder / kind).mkdir(exist_ok=True)
        _file(folder, kind, name).write_bytes(pickle.dumps(KINDS[kind][name]()))


def made(task: Task, seed: int, folder: Path) -> Input:
    """The input, from a seed that was built."""
    name = _named(task, seed)
    return mutate(name, _read(_file(folder, task.kind, name)), seed, task.kind, task.number)


def run_all(tasks: list[Task], seed: int, jobs: int, limits: Limits) -> Iterator[tuple[Task, Result]]:
    """The result of each, as they come."""
    with _folder() as folder:
        seeds = folder / "seeds"
        seeds.mkdir()
        build(tasks, seed, seeds)
        context = get_context("spawn")
        with context.Pool(jobs, _begin, (folder, seed, limits), maxtasksperchild=_FRESH) as pool:
            yield from pool.imap_unordered(_run, tasks)


def run_one(driver: Driver, one: Input, limits: Limits) -> Result:
    """Run and judge one input."""
    seen = driver.see(one)
    return result(one, seen, judge(seen, limits.bounds()))


_JOB: dict[str, tuple[Driver, Path, int, Limits]] = {}
"""What this process is a job of."""


def _begin(folder: Path, seed: int, limits: Limits) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent hears it, and ends this
    own = folder / f"job-{os.getpid()}"
    own.mkdir()
    _JOB["own"] = Driver(own, limits, LARGE), folder / "seeds", seed, limits


def _run(task: Task) -> tuple[Task, Result]:
    driver, seeds, seed, limits = _JOB["own"]
    return task, run_one(driver, made(task, seed, seeds), limits)


@contextmanager
def _folder() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="fuzzing-")).resolve()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _named(task: Task, seed: int) -> str:
    from tests.fuzzing.seeds import KINDS

    return seed_name(sorted(KINDS[task.kind]), seed, task.kind, task.number)


def _file(folder: Path, kind: str, name: str) -> Path:
    return folder / kind / name.replace("/", "+")


@cache
def _read(file: Path) -> Seed:
    seed = pickle.loads(file.read_bytes())
    assert isinstance(seed, Seed)
    return seed
