"""A report that was saved as JSON is read back whole, or refused in one line."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import Phase, assume, given, settings

from analyzer.errors import AnalyzerError
from analyzer.escaping import as_json
from analyzer.ir.findings import Coverage
from analyzer.ir.flow import Flow
from analyzer.ir.graph import DtypeArg, ModelGraph, Place, Ref, Script, Spec
from analyzer.ir.inventory import Held, Inventory
from analyzer.ir.plan import Engine, Plan, Training, Wrap
from analyzer.ir.reason import Reason
from analyzer.ir.text import print_graph
from analyzer.ir.witness import Witness
from analyzer.picture.tree import tree
from analyzer.render import FORMATS
from analyzer.render.repro import render
from analyzer.report import Report
from analyzer.report.arguments import plain_argument, read_argument
from analyzer.report.reader import parse_report, read_report
from tests.ir.test_text import graphs
from tests.mutations import mutated
from tests.render.models import many_layers, report, seed

FULL = Plan(
    set={"vpm.*": "float32"}, input_dtypes={"x": "float16"}, train=True, stage="train", read=("args.yaml",),
    notes=("n",),
    training=Training("bf16", True, fsdp=Wrap(2, classes=("Layer",)), deepspeed=Engine(3, "bfloat16")),
)  # fmt: skip


def _save(made: Report, file: Path) -> Any:
    file.write_bytes(FORMATS[".json"](made))
    return json.loads(file.read_bytes())


def test_a_stop_in_any_stage_is_a_report_that_is_not_complete_and_no_clean_stage_hides_it() -> None:
    flow, (error, note) = seed()
    clean = replace(report(flow, (note,)), plan=Plan(stage="train"))
    stopped = replace(clean, plan=Plan(stage="eval"), coverage=Coverage(27, (), "KeyError: x"))
    found = replace(clean, findings=(error,))
    warned = replace(clean, findings=(replace(error, severity="warning"),))
    for stages, complete, ok, worst in (
        ((clean,), True, True, 0),
        ((warned,), True, True, 0),
        ((found,), True, False, 0),
        ((stopped,), False, False, 0),
        ((clean, stopped), False, False, 1),
        ((stopped, warned), False, False, 0),
        ((stopped, found), False, False, 1),
    ):
        made = replace(stages[0], others=stages[1:])
        assert (made.complete, made.ok, made.worst.plan) == (complete, ok, stages[worst].plan)
        assert made.to_json()["complete"] is complete
    assert "incomplete: KeyError: x" in FORMATS[".dot"](replace(stopped, others=(found,))).decode()
    assert "partial verdict" not in FORMATS[".dot"](clean).decode()


def test_a_report_with_stages_is_read_back(tmp_path: Path) -> None:
    flow, found = seed()
    first = report(replace(flow, plan=FULL), found)
    flow, found = many_layers(2, faulty=True)
    second = report(replace(flow, plan=Plan(stage="eval")), found)
    made = replace(first, others=(second,))
    data = _save(made, tmp_path / "a.json")
    again = read_report(tmp_path / "a.json")
    assert [one.plan for one in again.stages] == [FULL, second.plan]
    assert again.graph == first.graph and again.findings == first.findings
    assert _save(again, tmp_path / "b.json") == data and again == made
    assert FORMATS[".dot"](again) == FORMATS[".dot"](made)


def test_a_report_is_written_by_and_by_as_it_would_be_at_once() -> None:
    flow, found = many_layers(600, faulty=True)
    empty = Flow(ModelGraph(), Plan(), {}, {}, {}, Inventory())
    for made in (report(flow, found), replace(report(flow, found), others=(report(flow, ()), report(empty, ())))):
        parts = (f" {as_json(key)}: {as_json(part, None, readable=True)}" for key, part in made.to_json().items())
        assert FORMATS[".json"](made).decode() == "{\n" + ",\n".join(parts) + "\n}\n"
    assert len(flow.graph) > 1000


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"schema": 2}, "version 2, not 1"),
        ({"graph": None}, "not a whole report"),
        ({"plan": {}}, "not a whole report"),
        ({"findings": [{}]}, "not a whole report"),
        ({"graph": {"nodes": [{"id": "a"}]}}, "not a whole report"),
        ({"coverage": 3}, "not a whole report"),
        ({"versions": {"torch": 2}}, "2 is no text"),
        ({"outputs": ["float32", None]}, r"1: None is no text"),
        ({"graph": {"nodes": [], "outputs": [{"node": "y", "output": 0}]}}, "no node above has the output y#0"),
        ({"graph": {"nodes": []}}, "findings: no node is called"),
        ({"flow": {"refusals": {"nowhere": "no"}}}, "names no node: nowhere"),
        ({"flow": {"dtypes": {"wide": []}}}, "flow.dtypes.wide: not one dtype for each output"),
        ({"stages": [{}]}, "not a whole report"),
        ({"look": {"finding": 9}}, "there is no finding 9"),
        ({"look": {"link_base": "javascript:0"}}, "no link can begin with 'javascript:'"),
    ],
)
def test_what_is_no_report_is_refused(change: dict[str, Any], words: str, tmp_path: Path) -> None:
    data = _save(report(*seed()), tmp_path / "a.json")
    (tmp_path / "a.json").write_text(json.dumps({**data, **change}))
    with pytest.raises(AnalyzerError, match=words):
        read_report(tmp_path / "a.json")


@given(graphs())
@settings(deadline=None, phases=[Phase.generate])
def test_any_graph_comes_back(graph: ModelGraph) -> None:
    assume(all(node.outputs for node in graph.stored()))
    for node in graph:  # a call has each keyword once
        graph.nodes[node.id] = replace(node, kwargs=tuple(dict(node.kwargs).items()), script=None)
    made = report(Flow.as_captured(graph, Plan()), ())
    again = parse_report(FORMATS[".json"](made), "it")
    assert print_graph(again.graph) == print_graph(graph) and again.graph == graph


@pytest.mark.parametrize(
    "arg", ["inf", "nan", "text", float("inf"), float("-inf"), -0.0, 1, True, 2 - 1j, complex("inf")]
)
def test_arguments_keep_what_they_are(arg: Any) -> None:
    data = json.loads(json.dumps(plain_argument((arg, DtypeArg("float32"), Spec("int8", (2,)), ()))))
    again = read_argument(data, {})
    assert again == (arg, DtypeArg("float32"), Spec("int8", (2,)), ()) and repr(again[0]) == repr(arg)


WHY = Reason("why", "checkpoint")
SOURCE = Witness("from source", "cuda, from source: there")


def test_what_a_flow_says_beyond_the_capture_comes_back() -> None:
    flow, found = seed()
    script = replace(flow.graph["refused"], script=Script(("x",), "not tried"), callers=(Place("m.py", 3),))
    flow.graph.nodes["refused"] = script
    flow.graph.follows[Ref("p")] = Ref("a")
    other = Flow(
        flow.graph, flow.plan, {**flow.dtypes, "p": ("float64",)}, {"a": "not this"}, {"a": SOURCE},
        Inventory((Held("parameter", "w", Spec("int8", (3,)), True, False, "int4", "a.bin", Place("m.py", 1), WHY),),
                  {"": "M"}, ("L",), (("a", "b"),), "float16", "auto", {"u": "int8"}, {"w": (1, 2)}, True, ("x.*",)),
    )  # fmt: skip
    again = parse_report(FORMATS[".json"](report(other, found)), "it").flow
    assert again.inventory.tensors[0].reason.kind == "checkpoint"
    assert again == other and again.graph.follows == flow.graph.follows
    assert again.graph["refused"].script == script.script and again.graph["refused"].callers == script.callers


def test_changed_data_are_a_report_or_are_refused_in_one_line() -> None:
    flow, found = many_layers(2, faulty=True)
    first = replace(report(*seed()), plan=FULL)
    made = replace(first, others=(replace(report(flow, found), plan=Plan(stage="eval")),))
    data, refused = json.loads(FORMATS[".json"](made)), 0
    data["graph"]["edges"] = data["stages"][0]["graph"]["edges"] = []  # which nothing reads
    for seed_ in range(200):
        changed = mutated(data, Random(seed_))
        try:
            again = parse_report(json.dumps(changed).encode(), "it")
        except AnalyzerError as error:
            refused += 1
            assert str(error).startswith("it is ") and "\n" not in str(error), seed_
            continue
        for suffix in (".dot", ".txt", ".json"):
            FORMATS[suffix](again)
        render(again), tree(again.flow, again.findings)
    assert 50 < refused < 200


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"module": "a." * 5000}, "nodes.30: a module lies in more than 100 others"),
        ({"args": json.loads("[" * 40 + "]" * 40)}, "nodes.30: an argument is a list in more than 32 others"),
        ({"args": [{"node": "v", "output": -1}]}, "no node above has the output v#-1"),
        ({"args": [{"node": "logits", "output": 0}]}, "no node above has the output logits#0"),
        ({"id": "pixel_values"}, "its name is taken"),
        ({"op": "buffer", "outputs": []}, "stored tensor without dtype"),
        ({"outputs": [{"dtype": "float32", "shape": [-1]}]}, "is no shape"),
        ({"outputs": [{"dtype": 3, "shape": []}]}, "dtype: 3 is no text"),
        ({"line": "3"}, "line: '3' is no whole number"),
        ({"call": None}, "id, op, name, module, call or phase is no text"),
        ({"kwargs": [1]}, "nodes.30: \\[1\\] is no object"),
    ],
)
def test_a_node_that_is_none_is_refused_by_its_number(change: dict[str, Any], words: str) -> None:
    data = json.loads(FORMATS[".json"](report(*seed())))
    data["graph"]["nodes"][30] |= change
    with pytest.raises(AnalyzerError, match=words) as caught:
        parse_report(json.dumps(data).encode(), "it")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"schema": 1}', "[" * 100_000, "9" * 5000])
def test_other_json_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(AnalyzerError, match=r"cannot be read|is no report"):
        read_report(tmp_path / "a.json")
