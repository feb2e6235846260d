"""Tensors that wrap others, and collectives: names, groups of several ranks, and what is refused with a reason."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import nn
from torch.masked import masked_tensor

from analyzer.capture import Captured
from analyzer.errors import AnalyzerError
from analyzer.ir.plan import Plan
from analyzer.running.forward import capture, from_callable
from tests.truth.surface import GLOO, grouped
from tests.truth.surface_distributed import fully_sharded, tensor_parallel

JAGGED = torch.nested.nested_tensor([torch.ones(2, 8), torch.ones(5, 8)], layout=torch.jagged)


def traced(function: Any, *args: Any) -> Captured:
    return capture(from_callable(function, args, {}), Plan(device="cpu"))


@pytest.fixture
def four_ranks() -> Iterator[None]:
    from torch.testing._internal.distributed.fake_pg import FakeStore

    dist.init_process_group("fake", store=FakeStore(), rank=0, world_size=4)
    yield
    dist.destroy_process_group()


def test_a_jagged_input_is_told_by_what_it_holds() -> None:
    captured = traced(nn.Linear(8, 8).bfloat16(), JAGGED)
    names = [node.name for node in captured.graph.stored() if node.op == "input"]
    assert names[:2] == ["args.0.values", "args.0.offsets"]
    (node,) = [node for node in captured.graph.ops() if node.refused]
    assert "args.0.values" in [captured.graph[ref.id].name for ref in node.operands()]


def test_a_parameter_that_is_a_dtensor_keeps_its_name() -> None:
    with grouped(GLOO):
        captured = traced(tensor_parallel(), torch.ones(3, 8))
    names = [node.name for node in captured.graph.stored() if node.op == "parameter"]
    assert names == ["0.weight", "0.bias", "2.weight", "2.bias"]
    assert captured.stop is None


def test_a_group_of_four_gives_shapes_of_four(four_ranks: None) -> None:
    import torch.distributed._functional_collectives as collectives

    def both(x: torch.Tensor) -> Any:
        whole = torch.empty(12, 8)
        dist.all_gather_into_tensor(whole, x)
        return whole, collectives.all_gather_tensor(x, 0, dist.group.WORLD) + 0

    captured = traced(both, torch.ones(3, 8))
    assert captured.stop is None
    assert [captured.graph[ref.id].outputs[ref.index].shape for ref in captured.graph.outputs] == [(12, 8), (12, 8)]


def test_a_group_refuses_tensors_of_two_dtypes_and_the_run_goes_on() -> None:
    def gathered(x: torch.Tensor) -> Any:
        whole = torch.empty(3, 8)
        dist.all_gather_into_tensor(whole, x)
        return whole * 2

    with grouped(GLOO):
        captured = traced(gathered, torch.ones(3, 8, dtype=torch.bfloat16))
    (node,) = [node for node in captured.graph.ops() if node.refused]
    assert node.op == "c10d._allgather_base_.default" and "BFloat16" in node.refused
    assert captured.stop is None


def test_a_tensor_of_a_class_that_does_not_say_what_it_holds_is_refused_as_an_input() -> None:
    given = masked_tensor(torch.ones(3, 8), torch.ones(3, 8, dtype=torch.bool))
    with pytest.raises(AnalyzerError, match=r"args\.0 is a MaskedTensor, which is not traced"):
        traced(lambda x: x * 2, given)


def test_a_strided_nested_tensor_is_refused_with_the_way_out() -> None:
    parts = [torch.ones(2, 8), torch.ones(5, 8)]
    with pytest.raises(AnalyzerError, match="strided layout") as told:
        traced(lambda x: x * 2, torch.nested.nested_tensor(parts))
    assert told.value.hint == "use layout=torch.jagged"
    captured = traced(lambda a, b: torch.nested.as_nested_tensor([a, b]), *parts)
    assert captured.stop is not None and captured.stop.hint == "use layout=torch.jagged"


def test_a_model_that_fsdp_has_wrapped_is_refused_before_it_runs() -> None:
    with grouped(GLOO), pytest.raises(AnalyzerError, match="FSDP has wrapped the model"):
        traced(fully_sharded(), torch.ones(3, 8))


def test_an_abstract_parameter_is_a_parameter() -> None:
    class Asks(nn.Linear):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            assert isinstance(self.weight, nn.Parameter) and not isinstance(x, nn.Parameter)
            return super().forward(x) * len(list(self.get_parameter("weight").shape))

    assert traced(Asks(8, 8), torch.ones(3, 8)).stop is None
