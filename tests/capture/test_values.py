"""Values that a model reads where no dispatcher sees it, and shapes that depend on floats."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

import analyzer
from analyzer.ir.plan import Plan
from tests.capture.real import watched

X = torch.arange(-5.0, 7.0, dtype=torch.bfloat16).reshape(3, 4)


def list_of_known_integers(x: torch.Tensor, n: torch.Tensor) -> Any:
    return torch.tensor([n.max() + 1, n[0] - len(x)]), torch.as_tensor([[n[0], 2], [n[1], 3]])


def list_of_unknown_floats(x: torch.Tensor, n: torch.Tensor) -> Any:
    return torch.tensor([x.sum()]), torch.tensor([[x.mean(), 2.0], [1.0, 2.0]]), x.new_tensor([x[0, 0], x[1, 1]])


def sizes_counted_from_a_mask(x: torch.Tensor, n: torch.Tensor) -> Any:
    count = (x.sum(dim=1) != 999.0).view(1, -1).sum(dim=1)
    return x.split(count.tolist()), torch.zeros(int(count.cumsum(0)[-1]), dtype=torch.float16)


@pytest.mark.parametrize("function", [list_of_known_integers, list_of_unknown_floats, sizes_counted_from_a_mask])
def test_the_outputs_have_the_real_dtypes(function: Callable[..., Any]) -> None:
    given = (X, torch.tensor([3, 4]))
    real = [t for part in function(*given) for t in (part if isinstance(part, tuple) else (part,))]
    report = analyzer.trace(function, given, plan=Plan(device="cpu"))
    assert list(report.outputs) == [str(t.dtype).removeprefix("torch.") for t in real]
    assert [report.flow.graph.spec(ref).shape for ref in report.flow.graph.outputs] == [tuple(t.shape) for t in real]


def test_known_integers_in_a_list_keep_their_values() -> None:
    def function(n: torch.Tensor) -> torch.Tensor:
        return torch.zeros(int(torch.tensor([n.max(), n[0]])[0]))

    report = analyzer.trace(function, (torch.tensor([3, 7]),), plan=Plan(device="cpu"))
    assert report.flow.graph.spec(report.flow.graph.outputs[0]).shape == (7,)
    assert not report.coverage.assumptions


def test_what_was_supposed_of_a_mask_is_written_down() -> None:
    report = analyzer.trace(sizes_counted_from_a_mask, (X, torch.tensor([3, 4])), plan=Plan(device="cpu"))
    assert {a.value for a in report.coverage.assumptions} >= {"as if every float were one"}


def test_integers_written_to_since_are_not_supposed() -> None:
    def function(x: torch.Tensor) -> torch.Tensor:
        count = (x > 0).sum(dim=1)
        count[0] = 1
        return torch.zeros(count.tolist())

    report = analyzer.trace(function, (X,), plan=Plan(device="cpu"))
    assert report.flow.graph.spec(report.flow.graph.outputs[0]).shape == (0, 0, 0)


def test_integers_written_to_as_a_whole_are_supposed_as_written() -> None:
    def function(x: torch.Tensor) -> torch.Tensor:
        durations = torch.round(x.abs() - 4).clamp(min=0).long()
        durations[durations.sum(dim=1).eq(0)] = 1  # none of them is left without any
        longest = int(durations.sum(dim=1).max())
        return x.new_zeros(len(x), longest) + torch.stack([x[0, :1].repeat(longest)] * len(x))

    report = analyzer.trace(function, (X,), plan=Plan(device="cpu"))
    assert function(X).dtype == torch.bfloat16 and report.outputs == ("bfloat16",)
    assert report.flow.graph.spec(report.flow.graph.outputs[0]).shape == (3, 4)


@pytest.mark.parametrize("table", [lambda n: n[:, None] * n[None], lambda n: n.new_full((len(n), len(n)), 2)])
def test_small_values_of_which_much_comes_are_not_computed(table: Callable[[Any], Any]) -> None:
    def function(x: torch.Tensor, n: torch.Tensor) -> torch.Tensor:
        return table(n)[:2, :2] * x[:2, :2]

    small, large = (torch.arange(size, dtype=torch.int32) for size in (8, 1 << 18))  # its table has 256 GiB
    assert function(X, small).dtype == torch.bfloat16
    assert analyzer.trace(function, (X, large), plan=Plan(device="cpu")).outputs == ("bfloat16",)


@pytest.mark.parametrize("shape", [(3, 4), (3, 5), (2,), (3, 4, 1)])
def test_a_mask_of_another_shape_is_refused_as_it_really_is(shape: tuple[int, ...]) -> None:
    def function(x: torch.Tensor, m: torch.Tensor) -> torch.Tensor:
        return (x + 1)[m]

    mask = torch.ones(shape, dtype=torch.bool)
    try:
        real = str(function(X, mask).dtype)
    except IndexError as error:
        real = str(error)
    report = analyzer.trace(function, (X, mask), plan=Plan(device="cpu"))
    assert real in (report.coverage.incomplete or f"torch.{report.outputs[0]}")


def test_integers_filled_like_an_unknown_tensor_are_known() -> None:
    def function(x: torch.Tensor) -> torch.Tensor:
        lengths = torch.ones_like(x, dtype=torch.long).sum(-1) + x.new_full((1,), 2, dtype=torch.int32)
        return torch.zeros(lengths.tolist(), dtype=torch.float16)

    report = analyzer.trace(function, (X,), plan=Plan(device="cpu"))
    assert report.flow.graph.spec(report.flow.graph.outputs[0]).shape == (6, 6, 6)
    assert not report.coverage.assumptions


def test_a_number_in_a_message_is_formatted_by_the_real_operations() -> None:
    said: list[str] = []

    def function(x: torch.Tensor, n: torch.Tensor) -> torch.Tensor:
        said.append(f"{n.sum():>4}, {x[0, 0]:.1f}")
        return x

    given = X, torch.tensor([3, 4])
    with watched() as writer:
        function(*given)
    report = analyzer.trace(function, given, plan=Plan(device="cpu"))
    assert said == ["   7, -5.0", "   7, 1.0"]
    assert [node.op for node in report.graph.ops()] == [op for op, _ in writer.seen]


def test_known_integers_keep_their_values_in_numpy() -> None:
    seen: list[Any] = []

    def function(x: torch.Tensor, n: torch.Tensor) -> torch.Tensor:
        seen.extend([n.numpy().tolist(), n.cumsum(0).cpu().numpy().tolist(), x.topk(2).indices.numpy().tolist()])
        return x

    analyzer.trace(function, (X, torch.tensor([3, 7])), plan=Plan(device="cpu"))
    assert seen == [[3, 7], [3, 10], [[0, 1], [2, 3], [0, 1]]]


@pytest.mark.parametrize(
    "length",
    [
        lambda x: torch.ceil(x.exp().sum()).long().clamp(min=1).max(),
        lambda x: torch.ceil(x.exp().sum(dim=1)).long().sort().values[0],
    ],
)
def test_a_length_that_is_made_of_a_float_is_not_nothing(length: Callable[[Any], Any]) -> None:
    def spread(x: torch.Tensor) -> torch.Tensor:
        steps = torch.arange(length(x), dtype=x.dtype)
        assert len(steps)  # a convolution over none would refuse
        return torch.nn.functional.conv1d(steps[None, None], x[None, :, :1])

    x = torch.ones(1, 8)
    assert spread(x).dtype == torch.float32
    assert analyzer.trace(spread, (x,), plan=Plan(device="cpu")).outputs == ("float32",)
