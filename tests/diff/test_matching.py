"""Matching is robust to what is put in and taken out."""

from __future__ import annotations

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from analyzer.diff.matching import match
from analyzer.ir.text import parse_graph
from tests.render.models import SEED

OPS = st.lists(st.tuples(st.sampled_from(["relu", "gelu", "neg"]), st.sampled_from(["a", "b", "a.0"])), max_size=12)


def _graph(ops: list[tuple[str, str]], prefix: str) -> str:
    lines = [f"x = input : f32[2]  @ {prefix and 'x'}x"]
    return "\n".join([*lines, *(f"{prefix}{i} = {op}(x) : f32[2]  @ {module}" for i, (op, module) in enumerate(ops))])


@given(OPS)
def test_a_graph_matches_itself_whatever_its_nodes_are_called(ops: list[tuple[str, str]]) -> None:
    found = match(parse_graph(_graph(ops, "n")), parse_graph(_graph(ops, "other")))
    pairs = [(f"n{i}", f"other{i}") for i in range(len(ops))]
    assert (found.pairs, found.gone, found.new) == ((("x", "x"), *pairs), (), ())


@given(OPS, st.integers(0, 12), st.sampled_from(["a", "b"]))
def test_an_operation_put_in_is_new_and_leaves_the_rest(ops: list[tuple[str, str]], at: int, module: str) -> None:
    longer = [*ops[:at], ("exp", module), *ops[at:]]
    before, after = parse_graph(_graph(ops, "n")), parse_graph(_graph(longer, "m"))
    found, back = match(before, after), match(after, before)
    assert (found.gone, found.new) == ((), (f"m{min(at, len(ops))}",)) == (back.new, back.gone)
    assert len(found.pairs) == len(ops) + 1 and {(b, a) for a, b in back.pairs} == set(found.pairs)


@given(OPS, st.randoms())
def test_operations_that_only_change_places_are_matched(ops: list[tuple[str, str]], random: Random) -> None:
    other = random.sample(ops, len(ops))
    found = match(parse_graph(_graph(ops, "n")), parse_graph(_graph(other, "m")))
    assert not found.gone and not found.new and len(found.pairs) == len(ops) + 1


def test_layers_and_tensors_match_by_name() -> None:
    graph = parse_graph(SEED)
    other = parse_graph(SEED.replace("resampler.pos_embed = parameter", "resampler.pos_embed = buffer"))
    found = match(graph, other)
    assert found.gone == found.new == ("resampler.pos_embed",) and len(found.pairs) == len(graph) - 1
