"""A rule decides by the kind of a reason, whatever its words are."""

from __future__ import annotations

from dataclasses import replace

import pytest

from analyzer import rules
from analyzer.ir.flow import Flow
from analyzer.ir.graph import ModelGraph
from analyzer.ir.plan import Plan
from analyzer.ir.reason import Reason, kept_in_fp32
from analyzer.ir.text import parse_graph

STREAM = """\
x = input : bf16[4,4]
wide = parameter : f32[4]  @ layers.0.scale
y = add.Tensor(x, wide) : f32[4,4]  @ layers.0
z = gelu(y) : f32[4,4]  @ layers.1.act
out = relu(z) : f32[4,4]  @ head.act
narrow = _to_copy(out, dtype=bf16) : bf16[4,4]
return narrow
"""


def _severities(reason: Reason) -> list[str]:
    graph, told = parse_graph(STREAM), ModelGraph()
    for node in graph:
        told.add(replace(node, reason=reason) if node.id == "wide" else node)
    told.outputs.extend(graph.outputs)
    return [f.severity for f in rules.check(Flow.as_captured(told, Plan())) if f.code == "DT201"]


@pytest.mark.parametrize(
    ("reason", "severity"),
    [
        (Reason("made in float32 by its constructor", "built_by_constructor"), "warning"),
        (Reason("kept in float32 by nobody's list"), "warning"),
        (Reason("other words for the same", "kept_in_fp32"), "note"),
        (kept_in_fp32("_keep_in_fp32_modules").stored_as("float16", "model.safetensors"), "note"),
    ],
)
def test_a_stream_that_is_kept_wide_by_name_is_a_note(reason: Reason, severity: str) -> None:
    assert _severities(reason) == [severity]


def test_one_that_makes_the_result_of_the_model_wide_is_a_warning() -> None:
    graph, told = parse_graph(STREAM.replace("return narrow", "return out")), ModelGraph()
    for node in graph:
        told.add(replace(node, reason=kept_in_fp32("_keep_in_fp32_modules")) if node.id == "wide" else node)
    told.outputs.extend(graph.outputs)

    (found,) = [f for f in rules.check(Flow.as_captured(told, Plan())) if f.code == "DT201"]
    assert (found.severity, "1 result of the model is f32" in found.message) == ("warning", True)
