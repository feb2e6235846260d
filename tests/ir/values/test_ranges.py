"""The law of ranges: whatever a program of torch computes for real lies within what is said of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from analyzer.ir.inventory import Inventory
from analyzer.ir.plan import Plan
from analyzer.ir.values.arithmetic import Range
from analyzer.propagate import propagate
from analyzer.running.forward import capture, from_callable

Tensor = torch.Tensor
STARTS: Final[Mapping[str, Callable[[], Tensor]]] = {
    "arange": lambda: torch.arange(6),
    "arange, floats": lambda: torch.arange(-2.0, 4.0),
    "arange, steps": lambda: torch.arange(12, 0, -2),
    "linspace": lambda: torch.linspace(-1.5, 2, 6),
    "full": lambda: torch.full((6,), -3.5),
    "zeros": lambda: torch.zeros(6),
    "ones": lambda: torch.ones(6, dtype=torch.int64),
    "constant": lambda: torch.tensor([0.25, 7.0, -3.0, 1e-3, 100.0, 2.0]),
    "mask": lambda: torch.arange(6) > 2,
    "number": lambda: torch.tensor(2.5),
}
ONE: Final[Mapping[str, Callable[[Tensor], Tensor]]] = {
    "abs": lambda x: x.float().abs(),
    "bounded": lambda x: x.float().softmax(-1),
    "cast": lambda x: x.to(torch.float32),
    "ceil": lambda x: x.float().ceil(),
    "clamp": lambda x: x.float().clamp(min=0.5),
    "clamp, both": lambda x: x.float().clamp(-1, 2),
    "clamp_max": lambda x: x.float().clamp_max(2),
    "cos": lambda x: x.float().cos(),
    "cumsum": lambda x: x.float().reshape(-1).cumsum(0),
    "divided": lambda x: x / 3,
    "exp": lambda x: x.float().clamp(-5, 5).exp(),
    "floored": lambda x: x.float() // 3,
    "flip": lambda x: x.reshape(-1).flip(0),
    "halves": lambda x: torch.cat(x.reshape(-1).float().chunk(2)),
    "int": lambda x: x.float().to(torch.int64),
    "less": lambda x: 2 - x.float(),
    "log": lambda x: (x.float().abs() + 1).log(),
    "masked": lambda x: x.float().masked_fill(x.float() > 1, -9.0),
    "mean": lambda x: x.float().mean(),
    "neg": lambda x: -x.float(),
    "norm": lambda x: torch.nn.functional.normalize(x.float().reshape(1, -1)).reshape(-1),
    "pad": lambda x: torch.nn.functional.pad(x.float().reshape(-1), (0, 1)),
    "power": lambda x: 10.0 ** (x.float().clamp(-2, 2)),
    "relu": lambda x: x.float().relu(),
    "rest": lambda x: x.float() % 3,
    "round": lambda x: x.float().round(),
    "rsqrt": lambda x: (x.float().square() + 0.5).rsqrt(),
    "scaled": lambda x: x * -2.5,
    "sigmoid": lambda x: x.float().sigmoid(),
    "square": lambda x: x.float() ** 2,
    "sum": lambda x: x.float().sum(),
    "tanh": lambda x: x.float().tanh(),
    "triu": lambda x: x.float().expand(6, 6).triu(1) if x.numel() == 6 else x,
    "view": lambda x: x.reshape(1, -1)[:, :2].t(),
    "weights": lambda x: x.float().abs() / x.float().abs().sum(-1, keepdim=True),
    "written": lambda x: _written(x.float().clone()),
}
TWO: Final[Mapping[str, Callable[[Tensor, Tensor], Tensor]]] = {
    "add": lambda x, y: torch.add(x.float(), y.float().mean(), alpha=-2),
    "cat": lambda x, y: torch.cat([x.reshape(-1).float(), y.reshape(-1).float()]),
    "div": lambda x, y: x.float() / (y.float().mean().abs() + 0.5),
    "maximum": lambda x, y: torch.maximum(x.float().mean(), y.float().mean()),
    "minimum": lambda x, y: torch.minimum(x.float().mean(), y.float().mean()),
    "mul": lambda x, y: x.float().mean() * y.float(),
    "outer": lambda x, y: torch.outer(x.reshape(-1).float(), y.reshape(-1).float()),
    "product": lambda x, y: x.float().reshape(-1, 1) @ y.float().reshape(1, -1),
    "stack": lambda x, y: torch.stack([x.float().mean(), y.float().mean()]),
    "sub": lambda x, y: x.float().mean() - y.float(),
    "where": lambda x, y: torch.where(x.float() > 0, x.float(), y.float().mean()),
}


def _written(x: Tensor) -> Tensor:
    x.reshape(-1)[0] = 50.0
    return x


@st.composite
def programs(draw: st.DrawFn) -> Callable[[], list[Tensor]]:
    starts = draw(st.lists(st.sampled_from(sorted(STARTS)), min_size=2, max_size=3))
    number = st.integers(0, 20)
    steps = draw(st.lists(st.tuples(st.sampled_from(sorted({**ONE, **TWO})), number, number), max_size=6))

    def run() -> list[Tensor]:
        made = [STARTS[name]() for name in starts]
        for name, first, second in steps:
            x, y = made[first % len(made)], made[second % len(made)]
            made.append(ONE[name](x) if name in ONE else TWO[name](x, y))
        return [one for one in made if one.numel() < 1000]

    return run


def _said(run: Callable[[], list[Tensor]], inventory: Inventory | None = None) -> list[Range | None]:
    graph = capture(from_callable(run, (), {}), Plan(device="cpu")).graph
    flow = propagate(graph, Plan(device="cpu"), inventory=inventory or Inventory())
    return [flow.ranges.of(ref) for ref in graph.outputs]


@settings(max_examples=100, deadline=None)
@given(programs())
def test_what_is_computed_lies_within_what_is_said(run: Callable[[], list[Tensor]]) -> None:
    for real, said in zip(run(), _said(run), strict=True):
        values = real.double()
        if said is not None and values.numel() and not values.isnan().any():
            slack = 1e-5 * max(1.0, float(values.abs().max()))
            assert said.low - slack <= float(values.min())
            assert float(values.max()) <= said.high + slack
            assert not said.whole or bool((values == values.round()).all())


@pytest.mark.parametrize(
    ("run", "said"),
    [
        (lambda: [torch.arange(6)], Range(0, 5, whole=True)),
        (lambda: [torch.arange(1, 9, 3)], Range(1, 7, whole=True)),
        (lambda: [torch.arange(6).to(torch.bfloat16)[:, None] * 0.5], Range(0, 2.5)),
        (lambda: [torch.full((3,), 3.5).half()], Range(3.5, 3.5)),
        (lambda: [torch.full((2, 2), -9.0).triu(1)], Range(-9, 0, whole=True)),
        (lambda: [(torch.arange(6) / 2).sin().to(torch.int32)], Range(-1, 1, whole=True)),
        (lambda: [torch.rand(3)], Range(0, 1)),
        (lambda: [torch.randn(3)], None),
    ],
)
def test_ranges_are_as_narrow_as_the_code_says(run: Callable[[], list[Tensor]], said: Range | None) -> None:
    assert _said(run) == [said]


def test_positions_of_a_text_that_was_made_up_go_as_far_as_the_config_allows() -> None:
    inventory = Inventory(tokens=16, longest=4096)

    assert _said(lambda: [torch.arange(16), torch.arange(15), torch.arange(0, 32, 2)], inventory) == [
        Range(0, 4095, whole=True), Range(0, 14, whole=True), Range(0, 30, whole=True),
    ]  # fmt: skip


def test_an_input_is_but_an_example() -> None:
    graph = capture(from_callable(lambda x: x * 2, (torch.arange(3),), {}), Plan(device="cpu")).graph

    assert propagate(graph, Plan(device="cpu")).ranges.of(graph.outputs[0]) is None
