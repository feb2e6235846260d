"""What every test process needs: a port of its own for process groups, and nothing left over from the test before."""

from __future__ import annotations

import importlib
import os
import socket
import sys
from collections.abc import Iterator

import pytest

with socket.socket() as probe:
    probe.bind(("127.0.0.1", 0))
    os.environ["MASTER_PORT"] = str(probe.getsockname()[1])
os.environ["MASTER_ADDR"] = "127.0.0.1"


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
