"""Formats of a difference: they say what changed, mark it in the picture, and hold any name."""

from __future__ import annotations

import json
import re
from dataclasses import replace

from analyzer.diff.comparison import Difference, Tensor, compare
from analyzer.ir.flow import Flow
from analyzer.ir.plan import Plan
from analyzer.ir.text import parse_graph
from analyzer.render.diff import FORMATS
from analyzer.render.diff.words import tensor
from tests.render.checks import NASTY
from tests.render.models import MESSAGE, SEED, report, seed

FIXED = (
    SEED.replace("resampler.pos_embed = parameter : f32[64", "resampler.pos_embed = parameter : bf16[64")
    .replace("  => bfloat16  ! expected m1 and m2 to have the same dtype, but got: float != c10::BFloat16", "")
    .replace("wide = add.Tensor(q, resampler.pos_embed) : f32", "wide = add.Tensor(q, resampler.pos_embed) : bf16")
    .replace("p = mm(a, a)", "a2 = neg(a) : bf16[64,2304]  @ resampler\np = mm(a2, a)")
)


def _difference(name: str = "one") -> Difference:
    flow, (error, _) = seed()
    before = report(flow, (replace(error, message=name, module=name),))
    after = report(Flow.as_captured(parse_graph(FIXED), Plan()), ())
    return compare(before, replace(after, class_name=name), (name, "two"))


def test_text_says_what_changed_and_nothing_else() -> None:
    lines = FORMATS[".txt"](_difference()).decode().splitlines()
    assert lines == [
        "--- one",
        "+++ two",
        "findings:",
        "  - error DT101 resampler.py:158 in one: one",
        "dtypes on edges:",
        "  ~ add of resampler, operand 1: f32 -> bf16 (resampler.py:155)",
        "  ~ multi_head_attention_forward of resampler.attn, operand 0: f32 -> bf16 (resampler.py:158)",
        "operations:",
        "  + resampler: neg",
    ]


def test_the_picture_marks_what_is_new_and_what_changed_in_words_and_lines() -> None:
    dot = FORMATS[".dot"](_difference()).decode()
    marked = re.findall(r'label="([^"]*)"[^\]]*peripheries=2', dot)
    assert [label.split("\\n") for label in sorted(marked)] == [
        [" ", "~ was f32 ~", "pos_embed", "parameter bf16"],
        ["~ new ~", "neg", "bf16"],
        ["~ was f32 ~", "add.Tensor", "bf16"],
    ]
    assert len(re.findall(r'class="link marked"', dot)) == 2 and "bf16, was f32" in dot and "style=dashed" in dot
    assert "gone: error DT101" in dot and "differs from before" in dot


def test_markdown_of_many_changes_shows_as_many_as_fit_a_comment() -> None:
    flow, (error, _) = seed()
    many = tuple(replace(error, source=f"line {i}", message=f"{i} {MESSAGE}") for i in range(900))
    markdown = FORMATS[".md"](compare(report(flow, many), report(flow, ()), ("one", "two"))).decode()
    assert len(markdown) < 65_536 and "**findings (900)**" in markdown and markdown.count("\n- error DT101") > 80
    assert re.search(r"^8\d\d more$|^7\d\d more$", markdown, re.M)


def test_another_shape_is_not_told_as_another_dtype() -> None:
    dtypes = [tensor(Tensor("parameter", "w", "float32", after, bytes=1024)) for after in ("float32", "bfloat16")]
    assert dtypes == ["parameter w: f32 of another shape (1.0 KiB)", "parameter w: f32 -> bf16 (1.0 KiB)"]


def test_no_difference_marks_nothing() -> None:
    made = report(*seed())
    same = compare(made, made, ("one", "one"))
    assert same.empty and FORMATS[".txt"](same) == b"--- one\n+++ one\nno difference\n"
    dot = FORMATS[".dot"](same).decode()
    assert "marked" not in dot and "peripheries" not in dot and "(no difference)" in dot
    assert json.loads(FORMATS[".json"](same))["empty"] and b"No difference." in FORMATS[".md"](same)


def test_a_layer_that_alone_differs_is_told_of_its_stack() -> None:
    text = SEED.replace("h7 = add.Tensor(h6, h6) : bf16", "h7 = add.Tensor(h6, h6) : f32")
    before = report(Flow.as_captured(parse_graph(text), Plan()), ())
    flow, _ = seed()
    difference = compare(before, report(flow, ()), ("one", "two"))
    assert "~ was f32 (1 of 40) ~" in FORMATS[".dot"](difference).decode()
    assert [(e.before, e.after, e.count) for e in difference.stages[0].edges if e.call.startswith("aten.add")] == [
        ("float32", "bfloat16", 1),
        ("float32", "bfloat16", 1),
    ]


def test_any_name_can_be_told() -> None:
    difference = _difference(NASTY)
    markdown = FORMATS[".md"](difference).decode()
    outside = re.sub(r"(?ms)^(`{3,})diff\n.*?^\1$", "", markdown)
    assert "@" not in outside and "`" not in outside and set(re.findall(r"</?(\w+)", outside)) <= {"details", "summary"}
    svg = FORMATS[".svg"](difference)
    assert b"<script" not in svg and FORMATS[".txt"](difference).decode().count("\n") == 9
    assert json.loads(FORMATS[".json"](difference))["before"] == NASTY
