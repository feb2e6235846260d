"""Pictures of models with planted faults, laid out: no box on a box, no text on a text, no line through a box."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache

import pytest
import torch
import transformers as hf

from analyzer import Plan, trace
from analyzer.picture import Look
from analyzer.render import svg
from analyzer.report import Report
from tests.render.geometry import read
from tests.render.models import many_layers, report, seed


@cache
def _llama() -> Report:
    """Four layers in bfloat16; one weight, one norm and the head's norm in float32."""
    config = hf.LlamaConfig(
        hidden_size=32, intermediate_size=64, num_hidden_layers=4, num_attention_heads=4, num_key_value_heads=2,
        vocab_size=64,
    )  # fmt: skip
    model = hf.LlamaForCausalLM(config).eval().to(torch.bfloat16)
    model.model.layers[2].mlp.up_proj.float()
    model.model.layers[1].input_layernorm.float()
    model.model.norm.float()
    return trace(model, kwargs={"input_ids": torch.ones(1, 8, dtype=torch.long)}, plan=Plan(device="cpu"))


PICTURES: dict[str, Callable[[], Report]] = {
    "the seed": lambda: report(*seed()),
    "without a fault": lambda: report(seed()[0], ()),
    "one finding": lambda: report(*seed()).seen(Look(finding=1)),
    "one module": lambda: report(*seed()).seen(Look(focus="resampler")),
    "a layer of forty": lambda: report(*seed()).seen(Look(focus="llm.model.layers.7")),
    "a stack of faults": lambda: report(*many_layers(30, faulty=True)),
    "faults that differ": lambda: report(*many_layers(300, faulty=True, alike=False)),
    "a decoder": _llama,
    "a part of a decoder": lambda: _llama().seen(Look(focus="model.layers.2")),
    "a finding in a decoder": lambda: _llama().seen(Look(finding=2)),
}


@pytest.mark.parametrize("name", PICTURES)
def test_nothing_lies_on_what_it_should_not(name: str) -> None:
    picture = read(svg.render_svg(PICTURES[name]()))
    assert picture.boxes and picture.lines
    assert list(picture.faults()) == []


def test_a_box_moved_onto_another_is_noticed() -> None:
    drawn = svg.render_svg(report(*seed())).decode()
    fault = drawn.index('class="node op finding')
    points = re.search(r' d="(M[^"]+)"', drawn[fault:])
    assert points is not None
    other = drawn.index('class="node parameter story1')
    moved = drawn[:other] + re.sub(r' d="M[^"]+"', f' d="{points[1]}"', drawn[other:], count=1)
    found = list(read(moved.encode()).faults())
    assert any(words.startswith("box ") and " lies on box " in words for words in found)
    squeezed = drawn.replace('font-size="14.00"', 'font-size="44.00"')
    assert any("is wider than box" in words for words in read(squeezed.encode()).faults())


def test_the_whole_story_is_drawn_from_the_origin_to_the_refused_call() -> None:
    drawn = svg.render_svg(report(*seed())).decode()
    told = set(re.findall(r'class="(?:node|edge) [^"]*story1[^"]*">\s*<title>([^<]+)', drawn))
    boxes = {"parameter_resampler.pos_embed", "op_wide", "op_refused"}
    lines = {"parameter_resampler.pos_embed&#45;&gt;op_wide", "op_wide&#45;&gt;op_refused"}
    assert told == boxes | lines


def test_a_text_says_how_long_it_is_so_that_another_font_keeps_its_box() -> None:
    drawn = svg.render_svg(report(*seed())).decode()
    assert drawn.count("<text ") == drawn.count("textLength=")
