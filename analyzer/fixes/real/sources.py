"""Where a small model with real tensors comes from: a folder, shrunk if it is large, a file, or a module in memory."""

from __future__ import annotations

import inspect
import shutil
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from json import dumps
from pathlib import Path
from typing import Any, Final, Protocol

import torch

from analyzer.capture import Captured, Loaded
from analyzer.errors import AnalyzerError
from analyzer.fixes.real.shrinking import candidates, renumbered
from analyzer.fixes.real.values import count, filled
from analyzer.foreign import is_file
from analyzer.inputs.learning import learned
from analyzer.ir import walk
from analyzer.ir.flow import Flow
from analyzer.ir.plan import Plan
from analyzer.loaders.files.json_files import read_json
from analyzer.running.real_runs.real_run import copied
from analyzer.running.real_runs.real_tensors import real_tensors

LARGEST: Final = 50_000_000
"""Elements of the stored tensors of a model that is run as it is."""
SMALL: Final = 20_000_000
"""Elements of one that is shrunk: it is run in float64, and some changes of it too."""
_TRIED: Final = 4
"""How many configs that are small enough are traced until one shows an error of the model."""
_LEFT_OUT: Final = (".*", "__pycache__", "*.safetensors", "*.bin", "*.pt", "*.pth", "*.gguf", "*.onnx", "*.h5")
_LARGE: Final = 1 << 20

Build = Callable[[Plan, "Path | None", "Path | None"], Loaded]
"""Loads the model under a plan, from another folder or file and with another inputs file where given."""


class Source(Protocol):
    """Makes models with real tensors, all of one shape."""

    @property
    def path(self) -> Path:
        """The folder or file that is really run; raises AnalyzerError where none can be had."""
        ...

    def real(self, plan: Plan, path: Path | None = None, inputs: Path | None = None) -> Loaded:
        """The model under a plan, from a patched copy of `path` where one is given. Raises AnalyzerError."""
        ...

    def named(self, name: str) -> str:
        """What a stored tensor of the model that was traced is called in the one that is run."""
        ...


@dataclass(frozen=True, slots=True)
class InMemory:
    """A module that a person holds: its own weights where these are real, else random ones; it is copied first."""

    loaded: Loaded

    @property
    def path(self) -> Path:
        """Nothing on disk."""
        return Path()

    def real(self, plan: Plan, path: Path | None = None, inputs: Path | None = None) -> Loaded:
        """As it is: it takes no dtypes of a plan."""
        _check(self.loaded)
        called = inspect.unwrap(self.loaded.run) if self.loaded.run is not None else None
        if inspect.ismethod(called) or getattr(called, "__closure__", None):
            raise AnalyzerError("a function that holds what is not given to it would change that")
        if (elements := count(self.loaded.module)) > LARGEST:
            raise AnalyzerError(f"it is too large to be copied: {elements:,} elements")
        made = copied(self.loaded)
        made.module._apply(_here)  # type: ignore[no-untyped-call]
        return filled(replace(made, inputs=walk.changed(made.inputs, torch.Tensor, _here)))

    def named(self, name: str) -> str:
        """As in the model itself."""
        return name


@dataclass(frozen=True, slots=True)
class _Chosen:
    """What is really run, where it lies, what its trace gave, and how many layers it is cut to; 0 is none."""

    path: Path
    traced: Loaded
    layers: int = 0

    def fitted(self, plan: Plan) -> Plan:
        """A plan for a model with all layers as it is for one with fewer."""
        if not self.layers:
            return plan
        return replace(plan, set={renumbered(name, self.layers): dtype for name, dtype in plan.set.items()})


@dataclass(slots=True)
class OnDisk:
    """A folder or file; one that is too large is shrunk, until a trace of it shows an error of those at `places`."""

    root: Path
    build: Build
    plan: Plan
    traced: Loaded
    shows: Callable[[Captured], bool]
    """Whether a trace of a smaller model shows an error of the large one."""
    stack: ExitStack
    """Holds the folders that are made."""
    _found: _Chosen | None = field(default=None, init=False)

    @property
    def path(self) -> Path:
        """The folder or file itself if it is small, else one that is made of it."""
        return self._chosen().path

    def named(self, name: str) -> str:
        """Of a layer that a smaller model has not, what the last one has."""
        layers = self._chosen().layers
        return renumbered(name, layers) if layers else name

    def real(self, plan: Plan, path: Path | None = None, inputs: Path | None = None) -> Loaded:
        """Built for real, with the inputs that the trace has found to fit, if they are made up."""
        chosen = self._chosen()
        if chosen.layers:
            plan = self._as_loaded(chosen.fitted(plan))
        torch.manual_seed(0)
        with real_tensors():
            loaded = self.build(plan, path or chosen.path, inputs)
        if loaded.invented and inputs is None:
            loaded = replace(loaded, inputs=chosen.traced.inputs, run=chosen.traced.run)
        return filled(replace(loaded, steps=self.traced.steps))

    def _chosen(self) -> _Chosen:
        if self._found is None:
            _check(self.traced)
            elements = count(self.traced.module)
            found = _Chosen(self.root, self.traced) if elements <= SMALL else self._shrunk()
            if found is None and elements > LARGEST:
                raise AnalyzerError("it is too large, and no smaller model shows the error")
            self._found = found or _Chosen(self.root, self.traced)
        return self._found

    def _as_loaded(self, plan: Plan) -> Plan:
        """A plan that names the dtype which a checkpoint gives, as a smaller model has none."""
        return replace(plan, dtype=plan.dtype or self.traced.inventory.loaded or None)

    def _shrunk(self) -> _Chosen | None:
        """A smaller model whose trace shows an error of the large one; None if there is none."""
        config = self.root / "config.json"
        settings: Any = read_json(config) if is_file(config) else {}
        if not isinstance(settings, dict) or "model_type" not in settings:
            return None
        target = Path(self.stack.enter_context(tempfile.TemporaryDirectory())).resolve() / "model"
        shutil.copytree(self.root, target, ignore=_weights)
        tried = 0
        for layers, smaller in candidates(settings):
            (target / "config.json").write_text(dumps(smaller))
            chosen = _Chosen(target, self.traced, layers)
            plan = self._as_loaded(chosen.fitted(self.plan))
            try:
                loaded = replace(self.build(plan, target, None), steps=self.traced.steps)
                if count(loaded.module) > SMALL:
                    continue
                loaded, captured = learned(loaded, plan)
            except AnalyzerError:
                continue
            if captured.stop is None and self.shows(captured):
                return replace(chosen, traced=loaded)
            tried += 1
            if tried == _TRIED:
                break
        return None


def on_disk(root: Path, build: Build, plan: Plan, traced: Loaded, flow: Flow, stack: ExitStack) -> OnDisk:
    """The source of a folder or file that was traced; a smaller one has to show an error at a line of the trace's."""
    places = {flow.graph[name].place for name in flow.refusals}

    def shows(captured: Captured) -> bool:
        return any(node.refused and node.place in places for node in captured.graph)

    return OnDisk(root, build, plan, traced, shows, stack)


def _here(tensor: torch.Tensor) -> torch.Tensor:
    return tensor if tensor.is_meta else tensor.cpu()


def _check(loaded: Loaded) -> None:
    """Raises AnalyzerError for what no CPU runs."""
    if any(reason.kind == "quantised" for reason in loaded.reasons.values()):
        raise AnalyzerError("its weights are quantised")


def _weights(folder: str, names: Sequence[str]) -> set[str]:
    """What a smaller model has no use for: weights, and whatever else is large."""
    left = shutil.ignore_patterns(*_LEFT_OUT)(folder, list(names))
    return left | {name for name in names if (file := Path(folder) / name).is_file() and file.stat().st_size > _LARGE}
