"""Runs inputs one after the other: a process that imported the front once forks a limited child for each."""

from __future__ import annotations

import os
import select
import shutil
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import Final

from analyzer.watched import resident
from analyzer.worker import warm_worker
from analyzer.worker.channel import Launch
from analyzer.worker.process import GRACE
from analyzer.worker.warm_worker import Warm
from tests.fuzzing import child
from tests.fuzzing.inputs import Input, Place
from tests.fuzzing.payloads import MARKER, module_folder
from tests.fuzzing.verdict import Bounds, Seen, snapshot

_FRONT: Final = (
    "analyzer.cli", "analyzer.pipeline", "analyzer.render", "analyzer.render.terminal", "analyzer.render.fixes",
    "analyzer.render.check.text", "analyzer.render.check.words", "analyzer.check", "analyzer.diff",
    "analyzer.picture", "analyzer.plans.typed_changes", "analyzer.render.diff", "rich.console", "yaml",
)  # fmt: skip
"""What the command imports when it first needs it: here once, before the children are forked."""
_WARM: Final = (
    "transformers.models.auto.modeling_auto", "transformers.models.llama.modeling_llama", "transformers.masking_utils",
    "transformers.models.auto.processing_auto", "transformers.models.auto.tokenization_auto", "analyzer.loaders.kinds",
    "analyzer.actions.trace", "analyzer.render.json", "transformers.quantizers.auto", "transformers.integrations",
    "transformers.models.vit.modeling_vit", "transformers.models.bert.modeling_bert",
)  # fmt: skip
"""What most traces import, in the warm worker beside what it imports by itself."""
LARGE: Final = (
    "peft", "diffusers", "diffusers.models.unets.unet_2d_condition", "diffusers.models.autoencoders.autoencoder_kl",
    "diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion", "diffusers.pipelines.flux.pipeline_flux",
    "transformers.models.clip.modeling_clip", "transformers.models.t5.modeling_t5",
)  # fmt: skip
"""What takes seconds to import, and pays in a long run."""
_STAYS: Final = 3.0
"""Seconds that a worker may stay once its front is gone."""


_APART: Final = Path(sys.prefix) / "apart"
"""Where `make` puts timm and sentence-transformers."""
_ASKING: Final = 0.3
"""Seconds that a front that does not end has to write down where it is."""
_TELLS: Final = f"import faulthandler\nfaulthandler.register({int(child.ASKED)}, file=2, all_threads=False)\n"


@dataclass(frozen=True, slots=True)
class Limits:
    """What the command is told, and what is granted beyond it before the child is ended."""

    deadline: float = 10.0
    memory: float = 2.0
    """GB."""
    patience: float = 8.0
    """Seconds beyond the deadline and the grace of the command."""

    def argv(self) -> tuple[str, ...]:
        """The options of every command that traces."""
        return ("--deadline", f"{self.deadline:g}", "--max-memory", f"{self.memory:g}")

    def bounds(self) -> Bounds:
        """What the verdict holds an input to."""
        return Bounds(self.deadline + GRACE + self.patience, int(self.memory * (1 << 30)))


class Driver:
    """Children one after the other; `close` ends its warm worker."""

    def __init__(self, root: Path, limits: Limits, imports: Sequence[str] = ()) -> None:
        self._root, self.limits, self._imports = root, limits, imports
        self._warm: Warm | None = None
        for name in _FRONT:
            import_module(name)

    def see(self, one: Input, debug: bool = False) -> Seen:
        """Run the command on an input, and tell what could be seen of it."""
        place = Place(self._root / one.name.replace(":", "-"))
        shutil.rmtree(place.root, ignore_errors=True)
        place.make(one.files)
        before = snapshot(place.work)
        launch = self._launch()
        started = time.monotonic()
        held = resident(os.getpid())  # which the child has from the beginning
        pid = os.fork()
        if pid == 0:
            child.run(place, self.argv(one), launch, debug)
        status, peak, timely = self._wait(pid)
        seconds = time.monotonic() - started
        facts = _facts(place.root / child.FACTS)
        stayed = [number for number in facts.workers if _stays(number)]
        if stayed or not timely:
            self.close()
        changed = sorted(before ^ snapshot(place.work))
        left = [str(path) for folder in place.own for path in folder.rglob("*")]
        ran = facts.ran or MARKER.exists()
        MARKER.unlink(missing_ok=True)
        seen = Seen(
            code=os.waitstatus_to_exitcode(status),
            out=place.text(child.OUT), err=place.text(child.ERR), traceback=place.text(child.TRACEBACK),
            stuck=place.text(child.STUCK),
            for_ci="github" in one.argv,
            seconds=seconds, timely=timely, front=max((peak << 10) - held, 0), worker=facts.peak << 10, ran=ran,
            stayed=bool(stayed), changed=tuple(str(entry[0]) for entry in changed), left=tuple(left),
            outputs={path.name: path.read_bytes() for path in sorted(place.out.iterdir()) if path.is_file()},
        )  # fmt: skip
        shutil.rmtree(place.root, ignore_errors=True)
        return seen

    def close(self) -> None:
        """End the warm worker; another is started when it is needed."""
        if self._warm is not None:
            self._warm.close()
            self._warm = None

    def argv(self, one: Input) -> list[str]:
        """The command line of an input, with its limits."""
        saved = one.argv[0] == "draw" or any(name.endswith(".json") for name in one.argv[1:2])
        return [*one.argv, *(() if saved else self.limits.argv())]

    def _launch(self) -> Launch:
        if self._warm is None:
            places = [str(module_folder(self._root / "path")), *([str(_APART)] if self._imports else [])]
            os.environ["PYTHONPATH"] = os.pathsep.join(places)
            scratch = self._root / "warm"
            scratch.mkdir(exist_ok=True)
            boot = warm_worker.boot
            warm_worker.boot = lambda entry: _warmer(boot(entry), (*_WARM, *_rooms(), *self._imports))
            try:
                self._warm = Warm(scratch)
            finally:
                warm_worker.boot = boot
        return self._warm

    def _wait(self, pid: int) -> tuple[int, int, bool]:
        """The status of the child, the most memory that it took in KiB, and whether it ended by itself."""
        handle = os.pidfd_open(pid)
        try:
            poll = select.poll()
            poll.register(handle, select.POLLIN)
            timely = bool(poll.poll(self.limits.bounds().seconds * 1000))
            if not timely:
                with suppress(ProcessLookupError):
                    os.kill(pid, child.ASKED)
                    time.sleep(_ASKING)
                    os.kill(pid, signal.SIGKILL)
            _, status, usage = os.wait4(pid, 0)
        finally:
            os.close(handle)
        return status, usage.ru_maxrss, timely


@dataclass(frozen=True, slots=True)
class _Facts:
    workers: tuple[int, ...]
    peak: int
    ran: bool


def _facts(file: Path) -> _Facts:
    lines = [line.split() for line in file.read_text(encoding="utf-8").splitlines()] if file.is_file() else []
    peaks = [int(line[1]) for line in lines if line[0] == "peak"]
    return _Facts(tuple(int(line[1]) for line in lines if line[0] == "worker"), max(peaks, default=0), ["ran"] in lines)


def _stays(pid: int) -> bool:
    """Whether a worker is still there a while after its front has gone; it is ended then."""
    end = time.monotonic() + _STAYS
    while Path(f"/proc/{pid}").exists():
        if time.monotonic() > end:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            return True
        time.sleep(0.005)
    return False


def _rooms() -> list[str]:
    """Modules of analyze that are imported by their names."""
    rooms = ("analyzer.loaders.kinds", "analyzer.rules")
    return [f"{room}.{found.name}" for room in rooms for found in iter_modules(import_module(room).__path__)]


def _warmer(program: str, names: Sequence[str]) -> str:
    """The program of a warm worker that imports more before it begins."""
    before, main, _ = program.rpartition("main()\n")
    imports = "".join(f"try:\n    importlib.import_module({name!r})\nexcept ImportError:\n    pass\n" for name in names)
    return f"{before}import importlib\n{imports}{_TELLS}{main}"
