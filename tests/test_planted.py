"""One root cause is one finding: faults planted into real models, mended one after another as reported, for real."""

from __future__ import annotations

import random
import traceback
from collections.abc import Iterable

import pytest
import torch

from analyzer.capture import Loaded
from analyzer.ir.findings import Finding
from analyzer.ir.flow import Flow
from analyzer.ir.plan import Plan
from analyzer.oracle import words
from analyzer.propagate import propagate
from analyzer.rules import check
from analyzer.running.forward import capture
from tests.planted import ALL, PLANTERS, Fault, places, planted, root
from tests.versions import images

PLAN = Plan(device="cpu")
Error = tuple[str, int]
"""The words, and the line of the model that raised them."""


def _really(name: str, faults: Iterable[Fault]) -> Error | None:
    """What a real run of the planted model raises, and at which line."""
    module, inputs = planted(name, faults)
    try:
        with torch.no_grad():
            module(**inputs)
    except RuntimeError as error:
        frames = [f for f in traceback.extract_tb(error.__traceback__) if "/torch/" not in f.filename]
        return words(error), frames[-1].lineno or 0
    return None


def _reported(name: str, faults: Iterable[Fault]) -> tuple[Flow, list[Finding]]:
    module, inputs = planted(name, faults)
    graph = capture(Loaded(module.to("meta"), name, "", inputs), PLAN).graph
    flow = propagate(graph, PLAN)
    return flow, [finding for finding in check(flow) if finding.severity == "error"]


def _roots(flow: Flow, finding: Finding) -> set[str]:
    """The root causes that a finding names."""
    odd = [o for o in finding.operands if o.dtype != flow.graph[finding.nodes[0]].repair]
    stored = ("parameter", "buffer", "input")
    return {
        f"{origin.kind} {origin.name}" if origin.kind in stored else f"line {origin.line}"
        for operand in odd
        for origin in operand.origins
    }


def _sample(choose: random.Random, candidates: list[Fault], count: int) -> list[Fault]:
    """So many faults; one line of code is one fault, so that no two share a kind unless they are parameters."""
    kinds = choose.choices(list(PLANTERS), weights=[4, 1, 1, 1, 1, 1], k=count)
    by_kind = {kind: [f for f in candidates if f.kind == kind] for kind in PLANTERS}
    chosen = [choose.choice(by_kind[kind] or by_kind["parameter"]) for kind in kinds]
    return list({(f.kind, f.where if f.kind == "parameter" else ""): f for f in chosen}.values())


@pytest.mark.parametrize("name", ALL)
def test_mending_what_is_reported_first_brings_each_next_real_error_until_none_is_left(name: str) -> None:
    choose, candidates = random.Random(f"planted in {name}"), places(name)
    seen_at_once = raising = 0
    for count in (1, 2, 3) * 3:
        left = faults = _sample(choose, candidates, count)
        first_report, errors = None, []
        while True:
            flow, found = _reported(name, left)
            reported = [(f.message, f.line) for f in found]
            first_report = reported if first_report is None else first_report
            error = _really(name, left)
            assert error == next(iter(reported), None), left
            assert all(_roots(flow, f) & {root(fault) for fault in left} for f in found), (left, reported)
            if error is None:
                break
            errors.append(error)
            mended = [fault for fault in left if root(fault) in _roots(flow, found[0])]
            assert mended, (_roots(flow, found[0]), left)
            left = [fault for fault in left if fault not in mended]
        seen_at_once += first_report == errors
        raising += bool(errors)
        assert len(first_report) <= len(errors), faults
    assert seen_at_once >= 6
    assert raising >= 5


def _left_wide(name: str, *prefixes: str) -> list[Fault]:
    module, _ = planted(name, [])
    keys = [key for key, p in module.named_parameters() if p.dtype == torch.bfloat16]
    return [Fault("parameter", key) for key in keys if key.startswith(prefixes)]


@pytest.mark.parametrize(
    ("name", "prefixes", "least"),
    [
        ("llama", ("model.layers.0.self_attn.q_proj", "model.layers.1.self_attn.q_proj"), 2),  # identical layers
        ("bert", ("encoder.layer.0.output.dense",), 1),  # weight and bias of one linear layer
        ("clip", ("vision_model.encoder.layers.0.mlp",), 2),  # a block
        ("whisper", ("model.encoder.layers.1.self_attn",), 4),
        ("llama", ("model.layers.1.",), 1),  # a whole layer, its norms with it
        *([("llava", ("model.vision_tower.",), 1)] if images else []),  # a whole tower
        ("mixtral", ("model.embed_tokens",), 4),  # a table whose dtype every layer inherits
        ("t5", ("encoder.block.0.layer.0.SelfAttention.relative_attention_bias",), 0),  # cast at its use
    ],
)
def test_a_part_left_in_float32_is_one_finding_with_all_its_places(
    name: str, prefixes: tuple[str, ...], least: int
) -> None:
    faults = _left_wide(name, *prefixes)
    assert faults
    flow, found = _reported(name, faults)
    assert [(f.message, f.line) for f in found] == [error for error in [_really(name, faults)] if error]
    assert sum(finding.count for finding in found) >= least
    for finding in found:
        assert _roots(flow, finding) <= {root(fault) for fault in faults}


@pytest.mark.parametrize("name", ["whisper", "wav2vec2"])
def test_a_whole_model_in_float32_blames_its_narrow_input(name: str) -> None:
    module, inputs = planted(name, [])
    module = module.float()
    (key,) = [key for key, tensor in inputs.items() if tensor.is_floating_point()]
    graph = capture(Loaded(module, name, "", inputs), PLAN).graph
    flow = propagate(graph, PLAN)
    errors = [finding for finding in check(flow) if finding.severity == "error"]
    with pytest.raises(RuntimeError) as raised, torch.no_grad():
        module(**inputs)
    assert [finding.message for finding in errors] == [words(raised.value)]
    assert _roots(flow, errors[0]) == {f"input {key}"}
