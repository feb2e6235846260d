"""`python -m tests.coverage.remote.confirming DIR [PATTERN]`: really runs a small model of each traced code.

The class is built from the same code with small numbers, saved, loaded by from_pretrained and run on the CPU. An error
has to be raised with the same words at the same line; a warning's line has to give the dtypes that the trace gives,
operation by operation. Codes without findings are run as well: all of their operations are compared. What is known
is not run again. The folders' code is run for real: only what you would load yourself.
"""

from __future__ import annotations

import argparse
import json
import re
import signal
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import torch
from torch import nn
from transformers import PreTrainedModel
from transformers.utils import logging

from analyzer import loaders, rules
from analyzer.capture import Captured, Loaded
from analyzer.errors import AnalyzerError
from analyzer.inputs.learning import learned
from analyzer.ir.plan import Plan
from analyzer.loaders.remote_code.environment import environment
from analyzer.propagate import propagate
from tests.coverage.__main__ import warm_up
from tests.coverage.remote.__main__ import read
from tests.coverage.remote.confirmed import KEPT, confirmed
from tests.coverage.remote.mirrors import codes, lay_beside, lay_out
from tests.coverage.remote.small import sizes
from tests.coverage.remote.tracing import AT_ONCE, HINTED, Row
from tests.coverage.running import forked, limit_memory
from tests.truth.compare import SEQUENCE, compare_ops
from tests.truth.running import How, Run, real_run, traced_run
from tests.versions import asked

MOST: Final = 800_000_000
"""Parameters; a larger model is not run."""
FROM_PRETRAINED: Final = PreTrainedModel.from_pretrained.__func__
"""The real one: while a model's code is there, another one answers for models that it names."""
LONGEST: Final = 120
"""Seconds of the clock for one code."""
NOT_ENDED: Final = f"the real run did not end within {LONGEST} s and the limit of memory"
SAME: Final = "raises the same at the same line"


@dataclass(frozen=True, slots=True)
class Small:
    """A small model of a folder as it is reported, and what was found in it, by code and place."""

    loaded: Loaded
    captured: Captured
    found: frozenset[str]


class Driven(nn.Module):
    """A model that is called as its trace calls it."""

    def __init__(self, model: nn.Module, run: Callable[[nn.Module, dict[str, Any]], Any]) -> None:
        super().__init__()
        self.model, self._run = model, run

    def forward(self, **inputs: Any) -> Any:
        return self._run(self.model, inputs)


def main() -> None:
    """Run each traced code that is asked for, and keep a line for it and one for each finding."""
    options = argparse.ArgumentParser()
    options.add_argument("mirrors", type=Path)
    options.add_argument("pattern", nargs="?", default="")
    options.add_argument("--rows", type=Path, default=Path("build") / "remote.jsonl")
    options.add_argument("--again", action="store_true", help="what is known, too")
    given = options.parse_args()
    torch.set_num_threads(1)
    logging.set_verbosity(logging.CRITICAL)
    warm_up()
    rows, known = read(given.rows), confirmed()
    for code in codes():
        row = rows.get(code.title)
        if row is None or row.outcome not in (AT_ONCE, HINTED) or not re.search(given.pattern, code.title):
            continue
        if code.title in known and not given.again:
            continue
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place, code.name)
            if lay_out(code, given.mirrors, folder) is None:
                lay_beside(code, given.mirrors, folder)
                answer, *_ = forked(partial(_bounded, row, folder))  # a real model may take long, or end the process
            else:
                answer = ""
        told = json.loads(answer) if answer else dict.fromkeys(asked_of(row), NOT_ENDED)
        for finding, words in told.items():
            print(f"{code.title} {finding}: {words}", flush=True)
            with KEPT.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"name": f"{code.title} {finding}".strip(), "said": words}) + "\n")


def asked_of(row: Row) -> list[str]:
    """What is looked into: "" for the run as a whole, and the texts of what was found, each once."""
    return ["", *dict.fromkeys((*row.errors, *row.warnings))]


def _bounded(row: Row, folder: Path) -> str:
    """What `said` says, in a process of its own that ends in time."""
    signal.alarm(LONGEST)
    limit_memory()
    return said(row, folder)


def said(row: Row, folder: Path) -> str:
    """What is found out about a code, as JSON."""
    try:
        return json.dumps(confirm(row, folder))
    except Exception as error:
        return json.dumps(dict.fromkeys(asked_of(row), f"could not be run: {type(error).__name__}: {error}"[:200]))


def confirm(row: Row, folder: Path) -> dict[str, str]:
    """Finding -> what a small real model does there, in words."""
    if "--with" in row.hint:
        return dict.fromkeys(asked_of(row), f"not run: needs {row.hint}")
    plan = Plan(device="cpu")
    stubs = stood_in(row.hint)
    wanted = {_key(text) for text in asked_of(row) if text}
    with environment("cpu", stubs, trust=True):
        best: Small | None = None
        why = ""
        for settings in sizes(json.loads((folder / "config.json").read_text())):
            (folder / "config.json").write_text(json.dumps(settings))
            try:
                small = _reported(folder, plan)
            except AnalyzerError as error:
                why = str(error)
                continue
            if small.captured.stop is not None:
                why = small.captured.stop.words
                continue
            if best is None or len(small.found & wanted) > len(best.found & wanted):
                best, kept = small, settings
            if wanted <= small.found:
                break
        if best is None:
            return dict.fromkeys(asked_of(row), f"no small model of it is traced: {why}"[:200])
        (folder / "config.json").write_text(json.dumps(kept))
        return _compared(row, folder, plan, best)


def _reported(folder: Path, plan: Plan) -> Small:
    loaded, captured = learned(loaders.load(folder, plan, trust_remote_code=True), plan)
    flow = propagate(captured.graph, plan, inventory=loaded.inventory)
    found = frozenset(f"{one.code} {one.file}:{one.line}" for one in rules.check(flow))
    return Small(loaded, captured, found)


def _compared(row: Row, folder: Path, plan: Plan, small: Small) -> dict[str, str]:
    real, how = _really(small, folder)
    if real is None:
        return dict.fromkeys(asked_of(row), how)
    loaded = loaders.load(folder, plan, trust_remote_code=True)
    traced, _ = traced_run(replace(loaded, inputs=small.loaded.inputs), plan)
    return {text: _verdict(text, real, traced, small) + how for text in asked_of(row)}


def _really(small: Small, folder: Path) -> tuple[Run | None, str]:
    """The real run, and how the model was made where not by from_pretrained; why there is none."""
    why = ""
    for make, how in ((_loaded, ""), (_constructed, ", built by its constructor")):
        try:
            model = _real(make, small.loaded, folder)
        except Exception as error:
            why = f"cannot be built for real: {type(error).__name__}: {error}"[:200]
            continue
        _tell_tokens(model, small.loaded.module)
        real = _named(real_run(model, small.loaded.inputs, How()), folder)
        if not (real.raised and "meta" in real.raised.words):
            return real, how
        why = f"the real from_pretrained leaves plain tensors on meta: {real.raised.words}"[:200]
    return None, why


def _tell_tokens(model: nn.Module, traced: nn.Module) -> None:
    """Give a real model the ids of tokens that its caller sets, as the traced one has them."""
    for name, value in vars(traced).items():
        if name.endswith(("_token_id", "_token_index")) and vars(model).get(name, value) is None:
            setattr(model, name, value)


def _named(run: Run, folder: Path) -> Run:
    """The run with the folder's own lines as they are reported."""
    own = f"{folder}/"
    raised = run.raised and replace(run.raised, place=run.raised.place.removeprefix(own))
    return Run(tuple(replace(op, place=op.place.removeprefix(own)) for op in run.ops), raised)


def _verdict(text: str, real: Run, traced: Run, small: Small) -> str:
    """What the two runs say of one finding, "" for all of both."""
    if not text:
        return _whole(real, traced)
    place = text.rpartition(" at ")[2]
    if _key(text) not in small.found:
        return "not found in a small model on the CPU"
    if traced.raised and traced.raised.place == place:
        if real.raised is None:
            return f"NOT CONFIRMED: the real one runs; reported: {traced.raised.words}"
        same = (real.raised.words, real.raised.place) == (traced.raised.words, traced.raised.place)
        return SAME if same else f"NOT CONFIRMED: raises {real.raised.words} at {real.raised.place}"
    _, wrong, _ = compare_ops(_at(real, place), _at(traced, place))
    count = len(_at(real, place).ops)
    if wrong or not count:
        return f"NOT CONFIRMED: {wrong[0] if wrong else 'nothing is really run at the line'}"
    return f"the {count} operations at the line really give these dtypes"


def _whole(real: Run, traced: Run) -> str:
    """Both runs side by side, up to the first error."""
    if (real.raised is None) != (traced.raised is None):
        error = real.raised or traced.raised
        assert error is not None
        who = "the real one" if real.raised else "the trace"
        return f"DIFFERS: {who} alone raises {error.words} at {error.place}"
    way, wrong, unseen = compare_ops(_plain(real), _plain(traced))
    if wrong:
        return f"DIFFERS: {wrong[0]}"
    order = "" if way == SEQUENCE else f", {len(unseen)} of one run alone"
    return f"{len(real.ops)} operations give the same dtypes{order}"


def _plain(run: Run) -> Run:
    return Run(tuple(replace(op, forms=()) for op in run.ops), run.raised)


def _at(run: Run, place: str) -> Run:
    return Run(tuple(replace(op, forms=()) for op in run.ops if op.place == place))


def _key(text: str) -> str:
    return f"{text.split(' ', 1)[0]} {text.rpartition(' at ')[2]}"


def stood_in(hint: str) -> tuple[str, ...]:
    """The packages that a hint stands in for.

    >>> stood_in("--stub flash_attn,decord")
    ('flash_attn', 'decord')
    """
    words = hint.split()
    return tuple(name for flag, names in pairwise(words) if flag == "--stub" for name in names.split(","))


def _real(make: Callable[[Any, Any, Path], nn.Module], loaded: Loaded, folder: Path) -> nn.Module:
    """The same class with real weights, called as its trace calls it."""
    size = sum(one.numel() for one in loaded.module.parameters())
    if size > MOST:
        raise ValueError(f"{size / 1e9:.1f} G parameters")
    torch.manual_seed(0)
    config = type(loaded.module.config).from_pretrained(folder)  # a model takes things out of the config it is built of
    model = make(type(loaded.module), config, folder).eval()
    return model if loaded.run is None else Driven(model, loaded.run)


def _loaded(cls: Any, config: Any, folder: Path) -> nn.Module:
    saved = folder / "saved"  # beside a published index of other files
    saved.mkdir(exist_ok=True)
    (saved / "config.json").write_bytes((folder / "config.json").read_bytes())
    torch.save(cls(config).state_dict(), saved / "pytorch_model.bin")
    model: nn.Module = FROM_PRETRAINED(cls, saved, config=config, **asked(None))
    return model


def _constructed(cls: Any, config: Any, folder: Path) -> nn.Module:
    before = torch.get_default_dtype()
    torch.set_default_dtype(getattr(config, "dtype", None) or getattr(config, "torch_dtype", None) or before)
    try:
        return cls(config)
    finally:
        torch.set_default_dtype(before)


if __name__ == "__main__":
    main()
