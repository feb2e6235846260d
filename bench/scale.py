"""Times every stage of a trace as a Llama grows from a thousand operations to a hundred thousand, per operation.

    python bench/scale.py [MOST_LAYERS]

CPU microseconds an operation of the best of ROUNDS rounds, in turn, and the ratio to the smallest model's, first of a
clean model, then of one whose norms are in float32, so that every layer is refused; peak memory is the process's. Flat
is a ratio near one.
"""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from analyzer import rules
from analyzer.capture import Loaded
from analyzer.capture.module_inventory import inventory_of
from analyzer.gc_paused import gc_paused
from analyzer.ir.plan import Plan
from analyzer.picture import overview
from analyzer.propagate import propagate
from analyzer.render import json, txt
from analyzer.report import Report, take_census
from analyzer.running.forward import capture

ROUNDS = 2
LAYERS = (12, 128, 1280)
STAGES = ("build", "capture", "propagate", "rules", "view", "text", "json")


def main() -> None:
    """Print two tables, for a clean and a faulty model."""
    most = int(sys.argv[1]) if len(sys.argv) > 1 else LAYERS[-1]
    sizes = [layers for layers in LAYERS if layers < most] + [most]
    for faulty in (False, True):
        _table(sizes, faulty)
    print(f"peak {_peak():.2f} GB")


def _table(sizes: list[int], faulty: bool) -> None:
    """One row a stage: microseconds an operation at each size, and the ratio of the largest to the smallest."""
    times: dict[tuple[str, int], float] = {}
    ops: dict[int, int] = {}
    for _ in range(ROUNDS):
        for layers in sizes:
            taken, ops[layers] = _stages(layers, faulty)
            for stage, seconds in taken.items():
                times[stage, layers] = min(times.get((stage, layers), seconds), seconds)
    print(
        f"{'norms in f32' if faulty else 'clean':16}" + "".join(f"{ops[n]:>12,} ops" for n in sizes) + "   last/first"
    )
    for stage in (*STAGES, "all"):
        row = [sum(times[s, n] for s in (STAGES if stage == "all" else (stage,))) / ops[n] * 1e6 for n in sizes]
        print(f"{stage:16}" + "".join(f"{cost:16.1f}" for cost in row) + f"{row[-1] / row[0]:13.2f}")
    total = sum(times[stage, sizes[-1]] for stage in STAGES)
    print(f"{ops[sizes[-1]]:,} operations in {total:.1f} s CPU")


@gc_paused()
def _stages(layers: int, faulty: bool) -> tuple[dict[str, float], int]:
    """CPU seconds of each stage on a Llama with so many layers, and its number of operations."""
    times: dict[str, float] = {}
    plan = Plan()
    with _timed(times, "build"):
        model, ids = _llama(layers, faulty)
        loaded = Loaded(model, "LlamaForCausalLM", "", {"input_ids": ids}, inventory=inventory_of(model))
    with _timed(times, "capture"):
        captured = capture(loaded, plan)
    with _timed(times, "propagate"):
        flow = propagate(captured.graph, plan, inventory=loaded.inventory)
    with _timed(times, "rules"):
        found = tuple(rules.check(flow))
    with _timed(times, "view"):
        overview(flow, found, captured.coverage.never_entered)
    census = take_census((held.kind, held.name, held.spec) for held in loaded.inventory.tensors)
    report = Report({}, "", "LlamaForCausalLM", 0, plan, captured.coverage, census, found, flow, ())
    for stage, render in _RENDERERS.items():
        with _timed(times, stage):
            render(report)
    return times, captured.coverage.ops


_RENDERERS: dict[str, Callable[[Report], Any]] = {"text": txt.render, "json": json.render}


@contextmanager
def _timed(times: dict[str, float], stage: str) -> Iterator[None]:
    start = time.process_time()
    yield
    times[stage] = time.process_time() - start


def _llama(layers: int, faulty: bool = False) -> tuple[LlamaForCausalLM, torch.Tensor]:
    config = LlamaConfig(num_hidden_layers=layers, hidden_size=4096, intermediate_size=11008, num_attention_heads=32)
    torch.set_default_dtype(torch.bfloat16)
    with torch.device("meta"):
        model = LlamaForCausalLM(config).eval()
    torch.set_default_dtype(torch.float32)
    for layer in model.model.layers if faulty else ():
        layer.input_layernorm.float()
    return model, torch.arange(16)[None]


def _peak() -> float:
    """The most memory that the process has had, in GB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


if __name__ == "__main__":
    main()
