"""The inside of a warm worker: imports what every trace needs, then forks one worker for each conversation."""

from __future__ import annotations

import gc
import json
import os
import signal
import socket
import sys
import tempfile
from importlib import import_module
from pathlib import Path
from typing import Final

from analyzer.worker.confinement import scrubbed
from analyzer.worker.named_models import HUB
from analyzer.worker.worker_main import converse, quiet

_NEEDED: Final = ("torch", "transformers.modeling_utils", "analyzer.actions.fix", "analyzer.worker.request_handler")
_REQUEST: Final = 1 << 14
_MODULES: Final = Path("huggingface", "modules")
_PLACES: Final = (
    ("huggingface_hub.constants", "HF_HUB_CACHE", HUB),
    ("transformers.utils.hub", "TRANSFORMERS_CACHE", HUB),
    ("transformers.utils.hub", "HF_MODULES_CACHE", _MODULES),
    ("transformers.dynamic_module_utils", "HF_MODULES_CACHE", _MODULES),
)
"""Constants that were made of the variables at an import, and the folder below a scratch folder that each names."""


def main() -> None:
    """Fork until the front closes its end."""
    quiet()
    for name in _NEEDED:
        import_module(name)
    gc.collect()
    gc.freeze()  # or the first collection in each child would copy every page
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    with socket.socket(fileno=int(sys.argv[1])) as front:
        while True:
            message, handles, _, _ = socket.recv_fds(front, _REQUEST, 3)
            if not message:
                return
            pid = os.fork()
            if pid == 0:
                front.close()
                _worker(json.loads(message), *handles)
            for handle in handles:
                os.close(handle)
            front.sendall(str(pid).encode())


def _caches(scratch: Path) -> None:
    """Have libraries that were imported before look into this worker's own caches."""
    from analyzer.capture.patching import reset  # beside torch, which is imported by now

    for module, name, folder in _PLACES:
        if hasattr(sys.modules.get(module), name):
            reset(
                sys.modules[module], name, str(scratch / folder),
                what="where imported libraries of Hugging Face have their caches",
                why="A worker that is forked has a scratch folder of its own, with the models that it is lent.",
            )  # fmt: skip


def _worker(place: dict[str, str], requests: int, events: int, errors: int) -> None:
    """Be a worker of a front in a folder, with a scratch folder; never come back."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.environ.update(scrubbed(os.environ, place["scratch"]))
    _caches(Path(place["scratch"]))
    os.chdir(place["folder"])
    tempfile.tempdir = None
    for number in (1, 2):
        os.dup2(errors, number)
    try:
        converse(os.fdopen(requests, "rb"), os.fdopen(events, "wb"))
    finally:
        os._exit(0)
