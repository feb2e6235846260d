"""A slice of the fuzzer, always the same; and that a driver sees a model that runs code, hangs, or takes all memory."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fuzzing.driver import Driver, Limits
from tests.fuzzing.inputs import Input
from tests.fuzzing.payloads import CODE
from tests.fuzzing.running import Task, build, made, run_one
from tests.model_folders import CONFIG, CONFIGURATION, MODELING, PARTS

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="its children are watched by /proc and pidfd")
SEED = 0
LIMITS = Limits()
SHORT = Limits(deadline=3.0, memory=1.0)
KINDS = (
    "config", "beside", "quantized", "code", "weights", "bin", "program", "recipe", "plan", "adapter",
    "sentences", "timm", "baseline", "suppressions", "report", "diff",
)  # fmt: skip
EACH = 2


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzzing")


@pytest.fixture(scope="module")
def driver(place: Path) -> Iterator[Driver]:
    (place / "job").mkdir()
    made = Driver(place / "job", LIMITS)
    yield made
    made.close()


def test_a_slice(driver: Driver, place: Path) -> None:
    tasks = [Task(kind, number) for number in range(EACH) for kind in KINDS] + [Task("pipeline", 1)]
    (place / "seeds").mkdir()
    build(tasks, SEED, place / "seeds")
    results = [run_one(driver, made(task, SEED, place / "seeds"), LIMITS) for task in tasks]
    faults = [f"{one.name} {one.outcome}: {one.words} [{one.frame}]" for one in results
              if one.outcome.startswith("FAULT")]  # fmt: skip
    assert not faults, "\n".join(["python -m tests.fuzzing --seed 0 --only KIND:N shows one of:", *faults])
    assert {one.outcome for one in results} >= {"clean", "refused"}


def _trusted(name: str, line: str) -> Input:
    """A model whose code does something when it is built, with trust."""
    modeling = MODELING.replace("super().__init__(config)", f"super().__init__(config)\n        {line}")
    code = {"configuration_own": CONFIGURATION, "parts": PARTS, "modeling_own": modeling}
    files = {f"model/{module}.py": text.encode() for module, text in code.items()}
    files["model/config.json"] = json.dumps(CONFIG).encode()
    return Input(f"code:{name}", "own", files, ("trace", "model", "--trust-remote-code"), ())


@pytest.mark.parametrize(
    ("name", "line", "outcome"),
    [
        ("sound", "pass", "findings"),
        ("runs", f"exec({CODE!r})", "FAULT marker"),
        ("waits", "import time; time.sleep(60)", "deadline"),
        ("takes", "self.kept = b'x' * (3 << 29)", "memory"),
        ("dies", "import os; os.abort()", "FAULT crash"),
    ],
)
def test_what_a_driver_sees(name: str, line: str, outcome: str, driver: Driver) -> None:
    driver.limits = SHORT
    try:
        assert run_one(driver, _trusted(name, line), SHORT).outcome == outcome
    finally:
        driver.limits = LIMITS
