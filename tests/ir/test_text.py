"""The text form: what is printed reads back as the same graph."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analyzer.errors import AnalyzerError
from analyzer.ir.graph import DtypeArg, ModelGraph, Node, Place, Ref, Spec
from analyzer.ir.literal_types import INSERTERS, PHASES, STORED
from analyzer.ir.reason import Reason
from analyzer.ir.text import parse_graph, print_graph

TEXT = """\
x = input : bf16[2,3]
head.weight = parameter : f32[4,3]  @ head.weight
t = t(head.weight) : f32[3,4]  @ head
y = addmm(x, x, t, beta=1) : bf16[2,4]  @ head  # file.py:12  / linear  => bfloat16  ! expected m1 and m2: "same" dtype
z = max.dim(y, -1) : (bf16[2], i64[2])
w = _to_copy(z#1, dtype=f32) : f32[]
return w, z#1
"""

names = st.one_of(st.sampled_from(["f32", "None", "return", "0.w", "a.b"]), st.text(min_size=1, max_size=6))
texts = st.one_of(st.just(""), st.sampled_from(["a.b.0", "x y"]), st.text(max_size=6))
dtypes = st.sampled_from(["float32", "bfloat16", "int64", "bool", "quint8"])
specs = st.builds(Spec, dtypes, st.lists(st.integers(0, 9), max_size=3).map(tuple))
ops = st.sampled_from(["aten.addmm.default", "aten.add.Tensor", "vision.nms.default", "memory.updated", "odd op::x"])

KEYS = st.sampled_from(["dtype", "inf", "f32", "a b", "\x1b\n="])
"""Names of operands; a report may hold any."""


@st.composite
def graphs(draw: st.DrawFn) -> ModelGraph:
    graph = ModelGraph()
    for name in draw(st.lists(names, max_size=5, unique=True)):
        op = draw(st.one_of(st.sampled_from(STORED), ops))
        old = [Ref(n.id, i) for n in graph for i in range(len(n.outputs))]
        leaf = st.one_of(
            st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(max_size=4),
            st.builds(DtypeArg, dtypes), *([st.sampled_from(old)] if old else []),
        )  # fmt: skip
        arg = st.recursive(leaf, lambda inner: st.lists(inner, max_size=3).map(tuple), max_leaves=4)
        stored = op in STORED
        args = () if stored else tuple(draw(st.lists(arg, max_size=3)))
        kwargs = () if stored else tuple(draw(st.lists(st.tuples(KEYS, arg))))
        place = draw(st.builds(Place, texts, st.integers(0, 99)))
        outputs = tuple(draw(st.lists(specs, max_size=3)))
        module, call, shown, refused, repair, reason, step = [draw(texts) for _ in range(7)]
        inserted, phase = draw(st.sampled_from(INSERTERS)), draw(st.sampled_from(PHASES))
        node = Node(name, op, args, kwargs, outputs, shown, module, call, place, refused, repair, Reason(reason))
        odd = tuple(draw(st.lists(st.integers(0, 99), max_size=3)))
        graph.add(replace(node, inserted=inserted, phase=phase, step=step, odd=odd))
    graph.outputs.extend(Ref(n.id) for n in graph if n.outputs)
    return graph


@given(graphs())
@settings(deadline=None)
def test_printed_and_parsed_is_the_same_graph(graph: ModelGraph) -> None:
    assert parse_graph(print_graph(graph)) == graph


def test_the_form_people_write() -> None:
    graph = parse_graph(TEXT)
    assert print_graph(graph) == TEXT
    assert graph["y"].refused.startswith("expected m1")
    assert (graph["y"].place, graph["y"].call, graph["t"].op) == (Place("file.py", 12), "linear", "aten.t.default")


def test_a_mark_is_no_place() -> None:
    assert parse_graph("x = param : f32  # DT101")["x"] == Node("x", "parameter", outputs=(Spec("float32"),))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("y = relu(x) : f32", "'x' is not defined above"),
        ("x = input : f99", "unknown dtype 'f99'"),
        ("x = input : f32 ; 3", "';' not understood"),
        ("x = input", "ends too early"),
        ("x = linear : f32", "parentheses"),
        ("x = input : f32  < sideways", "'sideways' is none of"),
    ],
)
def test_what_cannot_be_read_is_told_with_its_line(text: str, words: str) -> None:
    with pytest.raises(AnalyzerError, match="line 2 of the graph") as caught:
        parse_graph("\n" + text)
    assert words in str(caught.value)
