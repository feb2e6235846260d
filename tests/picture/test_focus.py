"""A look: one finding or one module op by op, links to source lines, and what is refused."""

from __future__ import annotations

import pytest

from analyzer.errors import AnalyzerError
from analyzer.ir.flow import Flow
from analyzer.ir.plan import Plan
from analyzer.ir.text import parse_graph
from analyzer.picture import Look, overview
from analyzer.picture.repeats import period, repeats
from tests.render.models import SEED, report, seed

BASE = "https://host/model/"


def test_one_finding_shows_its_story_and_what_is_around_it() -> None:
    flow, findings = seed()
    boxes = {box.id: box for box in overview(flow, findings, look=Look(finding=1)).boxes}
    assert {"parameter:resampler.pos_embed", "op:wide", "op:refused", "op:a", "op:p"} <= set(boxes)
    assert not any(box.startswith(("module:llm", "output")) for box in boxes)


def test_a_note_can_be_looked_at_too() -> None:
    flow, findings = seed()
    boxes = {box.id: box for box in overview(flow, findings, look=Look(finding=2)).boxes}
    assert boxes["op:h0"].code == "DT301"  # layer 39 is drawn as the first of its kind


def test_a_module_in_focus_is_drawn_operation_by_operation_with_what_it_is_linked_to() -> None:
    view = overview(*seed(), look=Look(focus="resampler"))
    inside = {box.id for box in view.boxes if box.path[:1] == ("resampler",) and box.kind == "op"}
    assert inside == {f"op:{op}" for op in ("kv", "q", "q1", "wide", "t", "refused", "a", "p")}
    outside = {box.id for box in view.boxes if box.path[:1] != ("resampler",)}
    assert outside and all(
        any({box, end} == {x.source, x.target} for x in view.links for end in inside) for box in outside
    )


def test_a_copied_layer_in_focus_is_that_which_stands_for_it() -> None:
    boxes = {box.id for box in overview(*seed(), look=Look(focus="llm.model.layers.7")).boxes}
    assert {"op:s0", "op:h0"} <= boxes


def test_a_big_module_in_focus_stays_small() -> None:
    text = "x0 = input : f32[1]\n" + "".join(f"x{i + 1} = exp(x{i}) : f32[1]  @ a.part{i // 10}\n" for i in range(900))
    view = overview(Flow.as_captured(parse_graph(text), Plan()), (), look=Look(focus="a"))
    assert 90 <= len(view.boxes) <= 150


@pytest.mark.parametrize(
    ("look", "words"),
    [
        (Look(focus="resample"), "did you mean resampler"),
        (Look(focus="zzz"), "its parts are "),
        (Look(focus="unused"), "enters no module 'unused'"),
        (Look(finding=7), "there is no finding 7 .*numbered 1 to 2"),
    ],
)
def test_what_is_not_there_is_said(look: Look, words: str) -> None:
    flow = Flow.as_captured(
        parse_graph(SEED.replace("v = conv", "u = parameter : f32[1]  @ unused.weight\nv = conv")), Plan()
    )
    with pytest.raises(AnalyzerError, match=words):
        report(flow, seed()[1]).seen(look)


@pytest.mark.parametrize("fields", [{"link_base": "javascript:x"}, {"finding": -1}, {"focus": "a", "finding": 1}])
def test_a_look_that_cannot_be_is_refused(fields: dict[str, object]) -> None:
    with pytest.raises(AnalyzerError):
        Look(**fields)  # type: ignore[arg-type]


def test_boxes_lead_to_their_lines_only_where_a_base_is_given() -> None:
    flow, findings = seed()
    linked = {box.id: box.href for box in overview(flow, findings, look=Look(link_base=BASE)).boxes}
    assert linked["op:refused"] == "https://host/model/resampler.py#L158"
    assert not any(box.href for box in overview(flow, findings).boxes)


def test_lines_of_a_library_lead_to_its_own_version() -> None:
    graph = parse_graph("x = input : f32[1]\ny = exp(x) : f32[1]  @ m.n  # transformers/a.py:3\nreturn y")
    versions = {"transformers": "5.24.0", "torch": "2.13.0+cpu"}
    boxes = overview(Flow.as_captured(graph, Plan()), (), look=Look(link_base=BASE), versions=versions).boxes
    found = {box.href for box in boxes if box.href}
    assert found == {"https://github.com/huggingface/transformers/blob/v5.24.0/src/transformers/a.py#L3"}
    assert Look(link_base=BASE).href(parse_graph("y = input : f32[1]  # peft/x.py:3")["y"].place, versions) == ""


def test_code_that_runs_again_on_the_same_dtypes_is_drawn_once() -> None:
    def run(i: int, dtype: str, size: int) -> str:
        return (
            f"a{i} = exp(x) : {dtype}[{size}]  @ part.inner  # m.py:3\n"
            f"b{i} = relu(a{i}) : {dtype}[{size}]  @ part  # m.py:9\n"
        )

    start, end = "x = input : bf16[2]\n", "z = cat([b0, b1]) : bf16[7]  @ head\n"
    alike = Flow.as_captured(parse_graph(start + run(0, "bf16", 2) + run(1, "bf16", 5) + end), Plan())
    twins, times = repeats(alike, frozenset())
    assert (twins, times) == ({"a1": "a0", "b1": "b0"}, {"part": 2})
    assert [cluster.label for cluster in overview(alike, ()).root.clusters] == ["part, 2 times"]
    other = Flow.as_captured(parse_graph(start + run(0, "bf16", 2) + run(1, "f32", 2) + end), Plan())
    assert repeats(other, frozenset()) == ({}, {})
    assert period([1, 2, 3, 1, 2]) == 5
