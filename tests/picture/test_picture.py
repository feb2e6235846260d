"""The overview: what is folded, what is opened, and that it stays small for any model."""

from __future__ import annotations

from textwrap import dedent

import torch

from analyzer import trace
from analyzer.ir.findings import Finding
from analyzer.ir.flow import Flow
from analyzer.ir.plan import Plan
from analyzer.ir.text import parse_graph
from analyzer.picture import Box, View, overview
from analyzer.picture.placement import levels
from tests.capture.training import NARROW, Adapter
from tests.render.models import SEED, find, many_layers, seed


def _boxes(view: View) -> dict[str, Box]:
    return {box.id: box for box in view.boxes}


def _flow(text: str) -> Flow:
    return Flow.as_captured(parse_graph(text), Plan())


def test_operations_without_outputs_are_drawn() -> None:
    def guarded(x: torch.Tensor) -> torch.Tensor:
        y = x + 1
        torch.ops.aten._assert_async.msg(torch.ones(()) > 0, "never")
        torch.ops.aten._assert_tensor_metadata.default(x, None, None, torch.float32)
        return y * 2

    report = trace(guarded, (torch.ones(2, 2),))
    assert any(node.is_op and not node.outputs for node in report.graph)
    assert all(text in str(overview(report.flow, report.findings)) for text in ("mul", "add"))


def test_identical_layers_are_one_box() -> None:
    labels = [box.label for box in overview(*seed()).boxes]
    assert "layers.0-39  x 40" in labels
    assert sum("layers" in label for label in labels) == 1


def test_identical_includes_dtypes() -> None:
    flow = _flow(SEED.replace("h7 = add.Tensor(h6, h6) : bf16", "h7 = add.Tensor(h6, h6) : f32"))
    labels = [box.label for box in overview(flow, ()).boxes]
    assert {"layers.0-6  x 7", "layers.7", "layers.8", "layers.9-39  x 31"} <= set(labels)


def test_the_fault_and_its_origin_have_boxes_and_a_mixed_link_joins_them() -> None:
    view = overview(*seed())
    boxes = _boxes(view)
    assert boxes["op:refused"].code == "DT101"
    assert boxes["op:refused"].path == ("resampler", "resampler.attn")
    assert boxes["parameter:resampler.pos_embed"].dtype == "float32"
    mixed = {(link.source, link.target): link.label for link in view.links if link.mixed}
    assert mixed["op:wide", "op:refused"] == "f32 -> bf16"
    assert mixed["parameter:resampler.pos_embed", "op:wide"] == "f32 -> bf16"
    assert boxes["parameter:resampler.in_proj_weight"].dtype == "bfloat16"


def test_without_a_finding_nothing_is_mixed() -> None:
    view = overview(seed()[0], ())
    assert not any(link.mixed for link in view.links)
    assert all(not box.code and box.kind != "op" for box in view.boxes)


def test_a_fault_in_a_folded_layer_is_drawn_once() -> None:
    flow, findings = many_layers(30, faulty=True)
    view = overview(flow, findings)
    assert sum(box.kind == "op" and box.code == "DT101" for box in view.boxes) == 1


def test_a_hub_gets_a_stub_for_each_reader_but_the_first() -> None:
    readers = "".join(f"y{i} = relu(x) : f32[1]  @ m{i}.a\n" for i in range(9))
    view = overview(_flow("x = input : f32[1]  @ x\n" + readers), ())
    assert sum(box.stub for box in view.boxes) == 8
    assert sum(link.source == "input:x" for link in view.links) == 1


def test_never_more_boxes_than_a_person_can_read() -> None:
    for text in (
        "".join(f"p{i} = parameter : f32[1]\ny{i} = relu(p{i}) : f32[1]  @ a{i}.b\n" for i in range(400)),
        "".join(f"p{i} = parameter : f32[1]\ny{i} = exp(p{i}) : f32[{i}]  @ a.layers.{i}.b\n" for i in range(400)),
        "".join(f"x{i} = input : f32[1]\n" for i in range(3)),
    ):
        flow = _flow(text)
        every = Finding("DT201", "x", "warning", "", "", "", "", "", 0, tuple(n.id for n in flow.graph.ops()))
        for findings in ((), (every,)):
            assert len(overview(flow, findings).boxes) <= 150


def test_closed_modules_carry_the_code_of_the_fault_inside() -> None:
    flow, findings = many_layers(300, faulty=True, alike=False)
    assert any(box.code == "DT101" for box in overview(flow, findings).boxes)


def test_links_join_boxes_that_exist_and_no_box_with_itself() -> None:
    view = overview(*seed())
    known = _boxes(view)
    assert len(known) == len(view.boxes)
    assert all(link.source in known and link.target in known and link.source != link.target for link in view.links)


def test_a_list_and_its_number_are_one_level() -> None:
    assert levels("llm.layers.0.mlp") == ["", "llm", "llm.layers.0", "llm.layers.0.mlp"]
    assert levels("0.1") == ["", "0", "0.1"]


def test_the_place_is_in_the_tooltip() -> None:
    assert "resampler.py:158" in find(overview(*seed()), "op:refused").tooltip


def test_of_the_backward_pass_only_faults_are_drawn() -> None:
    plan = Plan(device="cpu", train=True)
    clean, faulty = (trace(Adapter(d), (NARROW["x"],), plan=plan) for d in (torch.bfloat16, torch.float32))
    drawn, marked = overview(clean.flow, clean.findings), overview(faulty.flow, faulty.findings)
    forward = overview(trace(Adapter(torch.bfloat16), (NARROW["x"],), plan=Plan()).flow, ())
    assert {*_boxes(drawn)} == {*_boxes(forward)}
    errors = [f for f in faulty.findings if f.severity == "error"]
    faults = {box.id: box for box in marked.boxes if box.message}
    assert set(faults) == {f"op:{f.nodes[0]}" for f in errors}
    assert sum(box.count for box in marked.boxes if box.code and box.kind == "op") <= sum(f.count for f in errors)
    assert all(box.label.startswith("backward of ") for box in faults.values())
    assert any(link.mixed and link.target in faults for link in marked.links)


def test_layers_fold_whatever_their_backward_passes() -> None:
    layers = "".join(f"y{i} = relu(x) : f32[1]  @ layers.{i}\n" for i in range(4))
    back = "g = neg(y2) : f32[1]  @ layers.2  < backward\n"
    labels = [box.label for box in overview(_flow("x = input : f32[1]  @ x\n" + layers + back), ()).boxes]
    assert "layers.0-3  x 4" in labels


def test_masks_of_integers_stand_beside_their_first_reader_alone() -> None:
    lines = ["ids = input : i64[4]  @ ids", "mask = gt.Scalar(ids, 0) : b1[4]", "x = input : f32[4]  @ x"]
    lines += [f"y{i} = masked_fill.Tensor(x, mask, {i}) : f32[4]  @ m{i}.a" for i in range(9)]
    view = overview(_flow("\n".join(lines)), ())
    sources = {box.id: box for box in view.boxes}
    assert sum(sources[link.source].dtype == "bool" for link in view.links) == 1
    assert not any(box.stub and box.dtype == "bool" for box in view.boxes)


def test_a_number_in_a_tensor_mixes_with_nothing() -> None:
    text = "x = input : bf16[4]  @ x\nscale = input : f32[SIZE]  @ scale\ny = mul.Tensor(x, scale) : bf16[4]  @ a.b"
    ends = [Finding("DT201", "x", "warning", "", "", "", "", "", 0, ("y",))]
    mixed = [
        [link.label for link in overview(_flow(text.replace("SIZE", size)), ends).links if link.mixed]
        for size in ("", "4")
    ]
    assert mixed == [[], ["f32 -> bf16"]]


def test_beside_a_story_other_modules_stay_closed_where_they_are_many() -> None:
    calls = [("relu", "a"), ("exp", "b"), ("neg", "c")]
    parts = [f"z{i}{name} = {op}(x) : bf16[{i + 1}]  @ part{i}.{name}" for i in range(20) for op, name in calls]
    inputs = ["x = input : bf16[4]  @ x", "w = parameter : f32[4]  @ bad.w"]
    text = "\n".join([*inputs, "y = mul.Tensor(x, w) : f32[4]  @ bad", *parts])
    fault = Finding("DT201", "x", "warning", "wide", "", "", "bad", "", 0, ("y",))
    clean, told = overview(_flow(text), ()), overview(_flow(text), [fault])
    assert sum(box.kind == "module" for box in clean.boxes) == 61
    assert sum(box.kind == "module" for box in told.boxes) == 20 and "op:y" in _boxes(told)


def test_of_a_weight_and_its_bias_the_weight_tells_the_story() -> None:
    text = """
        x = input : bf16[2,4]  @ x
        b = parameter : f32[3]  @ a.fc.bias
        w = parameter : f32[3,4]  @ a.fc.weight
        t = t(w) : f32[4,3]  @ a.fc
        y = addmm(b, x, t) : bf16[2,3]  @ a.fc  => bfloat16  ! not the same dtype
    """
    fault = Finding("DT101", "x", "error", "not the same dtype", "", "", "a.fc", "", 0, ("y",))
    view = overview(_flow(dedent(text).strip()), [fault])
    told = {box.id: bool(box.stories) for box in view.boxes if box.path == ("a", "a.fc")}
    assert told == {"parameter:b": False, "parameter:w": True, "op:t": True, "op:y": True}
    assert [link.source for link in view.links if link.mixed] == ["parameter:b", "op:t"]


def test_beside_errors_few_warnings_are_told_and_the_others_keep_their_number() -> None:
    text = "x = input : bf16[4]  @ x\nw = parameter : f32[4]  @ w\n"
    text += "\n".join(f"y{i} = mul.Tensor(x, w) : f32[{i + 4}]  @ m{i}" for i in range(6))
    kinds = ["error", *["warning"] * 5]
    found = [
        Finding(f"DT20{i}", "x", kind, "words", "", "", f"m{i}", "", i, (f"y{i}",)) for i, kind in enumerate(kinds)
    ]
    told = lambda some: sum(bool(box.message) for box in overview(_flow(text), some).boxes)  # noqa: E731
    assert (told(found), told(found[1:])) == (3, 5)
    assert {box.findings for box in overview(_flow(text), found).boxes if box.severity} == {(i,) for i in range(1, 7)}
