"""Control flow of PyTorch: both branches are traced where floats decide, and what that assumes is told."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch._higher_order_ops.while_loop import while_loop

from analyzer.capture import Captured
from analyzer.ir.plan import Plan
from analyzer.running.forward import capture, from_callable
from tests.truth.surface import OLD

X = torch.ones(3, 8)
NARROW = torch.ones(8, 8, dtype=torch.bfloat16)
WIDE = torch.ones(8, 8, dtype=torch.float64)


def traced(function: Callable[..., Any], *args: Any) -> Captured:
    return capture(from_callable(function, args, {}), Plan(device="cpu"))


def refused(captured: Captured) -> list[str]:
    return [node.refused for node in captured.graph.ops() if node.refused]


def assumed(captured: Captured) -> dict[str, str]:
    return {one.what: one.value for one in captured.coverage.assumptions}


def test_where_floats_decide_each_branch_gives_its_findings() -> None:
    captured = traced(
        lambda x: torch.cond(x.sum() > 0, lambda y: (y @ NARROW).float(), lambda y: (y @ WIDE).float(), (x,)), X
    )
    assert len(refused(captured)) == 2 and captured.stop is None
    assert assumed(captured)["which branch of torch.cond is taken"] == "the first; both were traced"


def test_a_known_predicate_takes_its_branch_and_assumes_nothing() -> None:
    def chosen(x: torch.Tensor) -> torch.Tensor:
        return torch.cond(torch.tensor(False), lambda y: y.sin(), lambda y: y.cos(), (x,))

    captured = traced(chosen, X)
    assert [node.op for node in captured.graph.ops()][-1] == "aten.cos.default"
    assert any(node.op == "aten.sin.default" for node in captured.graph.ops()) == OLD  # it runs both
    assert not assumed(captured)


def test_branches_in_two_dtypes_are_one_refusal_that_names_both_results() -> None:
    captured = traced(lambda x: torch.cond(x.sum() > 0, lambda y: y.sin(), lambda y: y.double(), (x,)) * 2, X)
    (words,) = refused(captured)
    assert "torch.float32" in words and "torch.float64" in words
    (node,) = [node for node in captured.graph.ops() if node.refused]
    ops = [captured.graph[ref.id].op for ref in node.operands()]
    assert ops[-2:] == ["aten.sin.default", "aten._to_copy.default"]
    assert captured.stop is None and captured.graph[captured.graph.outputs[0].id].op == "aten.mul.Tensor"


def test_a_loop_runs_as_often_as_integers_say_and_once_where_floats_do() -> None:
    counted = traced(lambda x: while_loop(lambda i, y: i < 3, lambda i, y: (i + 1, y.sin()), (torch.tensor(0), x)), X)
    assert sum(node.op == "aten.sin.default" for node in counted.graph.ops()) == 3
    unknown = traced(lambda x: while_loop(lambda y: y.sum() > 0, lambda y: (y.sin(),), (x,)), X)
    assert sum(node.op == "aten.sin.default" for node in unknown.graph.ops()) == 1
    assert assumed(unknown)["how often torch.while_loop runs"] == "once"


def test_a_loop_whose_carry_changes_its_dtype_is_refused_and_goes_on() -> None:
    captured = traced(lambda x: while_loop(lambda y: y.sum() > 0, lambda y: (y.double(),), (x,)), X)
    (words,) = refused(captured)
    assert "torch.float64 vs torch.float32" in words or "torch.float32 vs torch.float64" in words


def test_control_flow_inside_vmap_stops_with_a_reason_that_blames_no_input() -> None:
    captured = traced(torch.vmap(lambda y: torch.cond(y.sum() > 0, lambda z: z.sin(), lambda z: z.cos(), (y,))), X)
    assert captured.stop is not None and captured.stop.words.startswith(
        "control flow of PyTorch inside torch.func.vmap"
    )
    assert captured.stop.hint == "use torch.where"
