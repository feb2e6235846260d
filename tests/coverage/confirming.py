"""`python -m tests.coverage.confirming [PATTERN]`: really runs each class that the rows say fails in plain bfloat16.

The class is built for real with a few layers, saved, loaded by the real from_pretrained and run on the CPU; its first
error is put beside the first one that is reported for the folder it was loaded from. The rows' page shows the outcome.
"""

from __future__ import annotations

import contextlib
import json
import re
import sys
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, Final

import torch
import transformers
from transformers.utils import logging

from analyzer import loaders
from analyzer.errors import AnalyzerError
from analyzer.inputs.learning import learned
from analyzer.ir.plan import Plan
from tests.coverage.__main__ import read, warm_up
from tests.coverage.cases import Case, cases, config_of
from tests.coverage.confirmed import kept
from tests.coverage.running import forked
from tests.truth.running import How, Raised, real_run
from tests.versions import asked

MOST: Final = 2_000_000_000
"""Parameters; a larger model is not run."""
_LAYERS: Final = re.compile(r"(^|_)(num_|n_)?(hidden_|encoder_|decoder_)?(layers?|blocks)$")


def main(pattern: str = "") -> None:
    """Run what has errors in the rows of this version, and keep a line for each beside them."""
    torch.set_num_threads(1)
    logging.set_verbosity(logging.CRITICAL)
    warm_up()
    known = read(Path("build") / f"coverage-{transformers.__version__}.jsonl")
    for case in cases():
        row = known.get(case.name)
        if row is not None and row.errors and re.search(pattern, case.name):
            said, *_ = forked(partial(confirm, case))  # a real model may take long, or end the process
            said = said or "the real run did not end"
            print(f"{case.name}: {said}", flush=True)
            with kept().open("a", encoding="utf-8") as file:
                file.write(json.dumps({"name": case.name, "said": said}) + "\n")


def confirm(case: Case) -> str:
    """What the real run does, in words: the same error at the same line, another one, or none."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for settings in _sizes(config_of(case)):
            (root / "config.json").write_text(json.dumps(settings, default=str))
            try:
                found = _reported(root)
            except AnalyzerError:
                continue
            if found is not None:
                return _beside(case, root, found[0])
    return "no error is reported without labels"


def _beside(case: Case, root: Path, inputs: dict[str, Any]) -> str:
    """The real run beside what is reported of the folder that it was loaded from, weights included.

    From 4.43 on transformers 4 may put tensors into their places as the checkpoint stores them, odd ones as well.
    """
    try:
        real = _real(case, root, inputs)
    except Exception as error:
        return f"could not be run: {type(error).__name__}: {error}"
    if isinstance(real, str):
        return real
    found = _reported(root / "saved")
    if found is None:
        return (
            "with a checkpoint neither raises"
            if real is None
            else f"NOT CONFIRMED: raises {real.words} at {real.place}"
        )
    return _compared(real, *found[1:])


def _sizes(settings: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """With two layers wherever a config counts them, and as it is."""
    yield _few(settings)
    yield settings


def _few(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    return {k: min(v, 2) if type(v) is int and _LAYERS.search(k) else _few(v) for k, v in value.items()}


def _reported(root: Path) -> tuple[dict[str, Any], str, str] | None:
    plan = Plan(dtype="bfloat16", device="cpu")
    loaded, captured = learned(loaders.load(root, plan), plan)
    refused = [node for node in captured.graph.ops() if node.refused]
    return (loaded.inputs, refused[0].refused, str(refused[0].place)) if refused else None


def _real(case: Case, root: Path, inputs: dict[str, Any]) -> Raised | str | None:
    cls = getattr(transformers, case.cls)
    config = transformers.AutoConfig.from_pretrained(root)
    size = 0
    with torch.device("meta"), contextlib.suppress(RuntimeError):  # some read values while they are built
        size = sum(p.numel() for p in cls(config).parameters())
    if size > MOST:
        return f"not run: {size / 1e9:.1f} G parameters"
    torch.manual_seed(0)
    cls(config).save_pretrained(root / "saved")
    model = cls.from_pretrained(root / "saved", **asked(torch.bfloat16)).eval()
    return real_run(model, inputs, How()).raised


def _compared(real: Raised | str | None, words: str, place: str) -> str:
    if real is None:
        return f"NOT CONFIRMED: the real one runs; reported: {words} at {place}"
    if isinstance(real, str):
        return real
    same = real.words == words, real.place == place
    if all(same):
        return "raises the same at the same line"
    return f"NOT CONFIRMED: raises {real.words} at {real.place}; reported: {words} at {place}"


if __name__ == "__main__":
    main(*sys.argv[1:2])
