"""What every test process needs: a port of its own, one warm worker, and nothing left over from the test before."""

from __future__ import annotations

import importlib
import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from analyzer import pipeline
from analyzer.worker.channel import Fresh, Launch
from analyzer.worker.warm_worker import Warm

with socket.socket() as probe:
    probe.bind(("127.0.0.1", 0))
    os.environ["MASTER_PORT"] = str(probe.getsockname()[1])
os.environ["MASTER_ADDR"] = "127.0.0.1"
torch.set_num_threads(1)  # the suite has a process for each core


class Shared:
    """Workers as the command starts them, but forked from a warm one, which the first command of the process starts."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.warm: Warm | None = None

    def __call__(self, python: str, debug: bool) -> Launch:
        if python or debug:
            return Fresh(python, debug)
        self.warm = self.warm or Warm(self._folder)
        return self.warm


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shared]:
    made = Shared(tmp_path_factory.mktemp("warm"))
    yield made
    if made.warm is not None:
        made.warm.close()


@pytest.fixture(autouse=True)
def warm_worker(shared: Shared, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every command that a test runs in this process has its worker from the warm one."""
    monkeypatch.setattr(pipeline, "Fresh", shared)


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    """End the process group that a launcher opened, and forget remote code that a real load imported."""
    path = list(sys.path)
    yield
    sys.path[:] = path  # transformers puts its folder of remote code there for good
    dist = sys.modules.get("torch.distributed")
    if dist is not None and dist.is_available() and dist.is_initialized():
        dist.destroy_process_group()
    comm = sys.modules.get("deepspeed.comm.comm")
    if comm is not None:
        comm.cdb = None
    forget_remote_code()


def forget_remote_code() -> None:
    """The package of remote code remembers the first folder that it came from."""
    for name in [name for name in sys.modules if name.split(".")[0] == "transformers_modules"]:
        del sys.modules[name]
    importlib.invalidate_caches()
