"""`python -m tests.releases.one`: the four models with the installed transformers, a line of JSON for each."""

from __future__ import annotations

import json
import shutil
import tempfile
import traceback
import warnings
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
import transformers
from torch import nn
from transformers import dynamic_module_utils
from transformers.utils import logging

from analyzer import loaders, rules
from analyzer.errors import AnalyzerError
from analyzer.inputs.learning import learned
from analyzer.ir.plan import Plan
from analyzer.propagate import propagate
from tests.releases.models import MODELS, fill
from tests.truth.compare import compare_ops
from tests.truth.running import How, Run, real_run, traced_run
from tests.versions import asked

PLAN = Plan(dtype="bfloat16", device="cpu")
MOST = 5
"""Differences that a row names."""


@dataclass(frozen=True, slots=True)
class Row:
    """What became of one model with one release; `stop` is why it was not traced to its end."""

    release: str
    model: str
    ops: int = 0
    found: tuple[str, ...] = ()
    """Errors and warnings: code and place."""
    stop: str = ""
    real: str = ""
    """The words of the error that the real run raises; "" if it ends."""
    wrong: tuple[str, ...] = ()
    """Where the real run of the same checkpoint differs: an error, an operation's dtype, shape or memory."""


def row(model: str) -> Row:
    """Trace a model from config and code alone; then save one with weights, run it for real, and trace that."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place, "model")
        folder.mkdir()
        fill(model, folder)
        try:
            ops, found, stop = _traced(folder)
        except AnalyzerError as error:
            return Row(transformers.__version__, model, stop=str(error).replace(place, "."))
        saved = Path(place, "saved")
        module = _saved(folder, saved)
        loaded, _ = learned(loaders.load(saved, PLAN, trust_remote_code=True), PLAN)
        real, traced = _by_name(real_run(module, loaded.inputs, How())), _by_name(traced_run(loaded, PLAN)[0])
    words = real.raised.words if real.raised else ""
    return Row(transformers.__version__, model, ops, found, stop, words, tuple(_differences(real, traced)[:MOST]))


def _differences(real: Run, traced: Run) -> list[str]:
    _, wrong, unseen = compare_ops(real, traced)
    first = [(run.raised.words, run.raised.place) if run.raised else None for run in (real, traced)]
    raised = [f"really raises {first[0]}, traced {first[1]}"] if first[0] != first[1] else []
    return [*raised, *wrong, *(f"in one run alone: {one}" for one in unseen)]


def _by_name(run: Run) -> Run:
    """The run with source files by their names: the real model's own code lies in a cache of transformers."""
    ops = tuple(replace(op, place=Path(op.place).name) for op in run.ops)
    return Run(ops, replace(run.raised, place=Path(run.raised.place).name) if run.raised else None)


def _traced(folder: Path) -> tuple[int, tuple[str, ...], str]:
    loaded, captured = learned(loaders.load(folder, PLAN, trust_remote_code=True), PLAN)
    found = rules.check(propagate(captured.graph, PLAN, inventory=loaded.inventory))
    told = tuple(f"{one.code} at {one.file}:{one.line}" for one in found if one.severity != "note")
    return captured.coverage.ops, told, captured.stop.words if captured.stop else ""


def _saved(folder: Path, saved: Path) -> nn.Module:
    """The real model, with weights at random, as the release's own from_pretrained loads them from `saved`."""
    config = transformers.AutoConfig.from_pretrained(folder, trust_remote_code=True)
    if "AutoModel" in (getattr(config, "auto_map", None) or {}):
        cls: Any = transformers.AutoModel
        torch.manual_seed(0)
        made = cls.from_config(config, trust_remote_code=True)
    else:
        cls = getattr(transformers, config.architectures[0])
        torch.manual_seed(0)
        made = cls(config)
    made.to(torch.bfloat16).save_pretrained(saved, safe_serialization=True)
    for file in folder.iterdir():  # save_pretrained wrote its own view of the config
        shutil.copy(file, saved)
    loaded: nn.Module = cls.from_pretrained(saved, trust_remote_code=True, **asked(torch.bfloat16)).eval()
    return loaded


def main() -> None:
    """A line for each model; an error of this room itself is a row as well."""
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    logging.set_verbosity(logging.CRITICAL)
    for model in MODELS:
        with tempfile.TemporaryDirectory() as modules:
            dynamic_module_utils.HF_MODULES_CACHE = modules
            try:
                told = row(model)
            except Exception as error:
                traceback.print_exc()
                told = Row(transformers.__version__, model, stop=f"NOT CAUGHT {type(error).__name__}: {error}")
        print("ROW " + json.dumps(asdict(told)), flush=True)


if __name__ == "__main__":
    main()
