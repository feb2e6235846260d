"""Rules that judge by values say what really happens: every verdict here is compared with a run on the CPU."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch.nn import functional as F

from analyzer.ir.findings import Finding
from analyzer.ir.plan import Plan
from analyzer.propagate import propagate
from analyzer.rules import check
from analyzer.running.forward import capture, from_callable

Tensor = torch.Tensor
HALF, BF16, F32, INTS = torch.float16, torch.bfloat16, torch.float32, torch.int64


def told(run: Callable[..., object], *args: Tensor) -> list[Finding]:
    """What is found in a function, notes left out."""
    plan = Plan(device="cpu")
    flow = propagate(capture(from_callable(run, args, {}), plan).graph, plan)
    return [finding for finding in check(flow) if finding.severity != "note"]


def codes(run: Callable[..., object], *args: Tensor) -> list[str]:
    """Their codes; a cast that is only taken back is another rule's affair."""
    return [finding.code for finding in told(run, *args) if finding.code != "DT301"]


@pytest.mark.parametrize("dtype", [HALF, BF16])
@pytest.mark.parametrize("count", [2, 64, 257, 258, 1000, 2049, 2050, 5000])
@pytest.mark.parametrize("by", ["cast", "dtype", "float steps"])
def test_positions_are_told_where_two_of_them_become_one(dtype: torch.dtype, count: int, by: str) -> None:
    def run() -> Tensor:
        steps = {
            "cast": lambda: torch.arange(count).to(dtype),
            "dtype": lambda: torch.arange(count, dtype=dtype),
            "float steps": lambda: torch.arange(0.0, count, 1.0).to(dtype),
        }[by]()
        return (steps.float()[:, None] * 0.5 ** torch.arange(4)).cos()

    apart = len(torch.arange(count).to(dtype).unique()) == count
    assert codes(run) == ([] if apart else ["DT203"])


@pytest.mark.parametrize(
    ("run", "is_told"),
    [
        (lambda: torch.zeros(4).to(BF16).sin(), False),
        (lambda: torch.full((4,), 3.5).to(BF16).sin(), False),
        (lambda: torch.full((4,), 998.39).to(BF16).sin(), True),
        (lambda: (torch.arange(64) / 64).to(BF16).sin(), False),
        (lambda: ((torch.arange(64) / 64).to(BF16) * 1000).sin(), True),
        (lambda: torch.linspace(0, 5000, 64).to(HALF).cos(), True),
        (lambda: torch.outer(torch.arange(5000.0), (0.3 ** torch.arange(4)).to(BF16).float()).cos(), True),
        (lambda: torch.outer(torch.arange(5000.0).to(BF16), 0.3 ** torch.arange(4).to(BF16)).cos(), True),
        (lambda: torch.outer(torch.arange(100.0), 0.3 ** torch.arange(4)).to(BF16).cos(), False),
        (lambda: torch.outer(torch.arange(5000.0), 0.3 ** torch.arange(4)).to(BF16).cos(), True),
        (lambda: torch.polar(torch.ones(300), torch.arange(300).to(BF16).float()), True),
        (lambda: (torch.arange(5000.0) / 10).to(torch.int32).sin(), True),
    ],
)
def test_angles_are_told_where_they_may_be_off_by_a_radian(run: Callable[[], Tensor], is_told: bool) -> None:
    assert ("DT203" in codes(run)) == is_told


@pytest.mark.parametrize("is_on", [True, False])
@pytest.mark.parametrize("dtype", [BF16, HALF])
def test_angles_that_autocast_narrows_are_told(dtype: torch.dtype, is_on: bool) -> None:
    seen = []

    def run(positions: Tensor, rates: Tensor) -> Tensor:
        with torch.autocast("cpu", dtype, enabled=is_on):
            angles = positions @ rates
        seen.append(angles.dtype)
        return angles.cos()

    positions, rates = torch.tensor([[998.39], [3.2]]), torch.rand(1, 4)
    found = told(run, positions, rates)

    run(positions, rates)
    assert seen[-1] == (dtype if is_on else F32)
    assert {f.code for f in found} == ({"DT203"} if is_on else set())
    assert all("by autocast" in f.message for f in found)


def test_a_table_of_frequencies_in_16_bits_is_told_of_far_positions_alone() -> None:
    table = (0.3 ** torch.arange(4)).to(BF16)

    class Table(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("table", table)

        def forward(self, positions: Tensor) -> Tensor:
            return torch.outer(torch.arange(positions.shape[0]).float(), self.table.float()).cos()

    far, near = codes(Table(), torch.ones(4000)), codes(Table(), torch.ones(50))
    real = [(Table()(torch.ones(n)) - torch.outer(torch.arange(n), 0.3 ** torch.arange(4)).cos()).abs().max()
            for n in (4000, 50)]  # fmt: skip
    assert (far, near) == (["DT203"], [])
    assert real[0] > 0.5 > 0.1 > real[1]


MASK = torch.tensor([[True, False], [True, True]])
LARGE: list[tuple[Callable[[Tensor], Tensor], torch.dtype]] = [
    (lambda x: torch.where(MASK, -3.3e38, x), HALF),
    (lambda x: x + (1 - MASK.to(HALF)) * -1e9, HALF),
    (lambda x: x + torch.tensor(-1e9), HALF),
    (lambda x: _set(x, MASK, -1e9), HALF),
    (lambda x: _set(x, 0, -1e9), HALF),
    (lambda x: x + torch.full((2, 2), torch.finfo(F32).min).triu(1).to(HALF), HALF),
    (lambda x: x + torch.full((2, 2), torch.finfo(F32).min).to(BF16), BF16),
    (lambda x: x.new_full((2, 2), -1e38).to(HALF) + x, F32),
]
SMALL: list[Callable[[Tensor], Tensor]] = [
    lambda x: x / (x.norm(dim=-1, keepdim=True) + 1e-8),
    lambda x: x / x.norm(dim=-1, keepdim=True).clamp_min(1e-12),
    lambda x: x / x.norm(dim=-1, keepdim=True).clamp(min=1e-12),
    lambda x: x / torch.maximum(x.norm(dim=-1, keepdim=True), torch.tensor(1e-9)),
    lambda x: F.normalize(x, dim=-1),
    lambda x: F.cosine_similarity(x, x, dim=-1),
    lambda x: x * (x.square().mean(-1, keepdim=True) + 1e-9).rsqrt(),
    lambda x: x / (x.var(-1, keepdim=True) + 1e-8).sqrt(),
    lambda x: (x.abs() + 1e-8).log(),
]


def _set(x: Tensor, where: Tensor | int, value: Tensor | float) -> Tensor:
    x = x.clone()
    x[where] = value
    return x


@pytest.mark.parametrize(("run", "dtype"), LARGE, ids=map(str, range(len(LARGE))))
def test_a_number_that_becomes_infinite_is_told(run: Callable[[Tensor], Tensor], dtype: torch.dtype) -> None:
    x = torch.ones(2, 2, dtype=dtype)

    assert "DT204" in codes(run, x)
    assert run(x).isinf().any()


@pytest.mark.parametrize("exponent", [-1, -0.5])
def test_a_guard_that_is_zero_is_told_of_a_negative_power(exponent: float) -> None:
    def run(x: Tensor) -> Tensor:
        return (x + 1e-8) ** exponent

    zeros = torch.zeros(2, 2)
    assert run(zeros.half()).isinf().all()
    assert codes(run, zeros.half()) == ["DT204"]
    assert run(zeros).isfinite().all()
    assert codes(run, zeros) == []
    assert codes(lambda x: (x + 1e-8) ** 2, zeros.half()) == []


@pytest.mark.parametrize("run", SMALL, ids=map(str, range(len(SMALL))))
def test_a_guard_that_is_zero_is_told(run: Callable[[Tensor], Tensor]) -> None:
    zeros = torch.zeros(2, 2)
    if run(zeros.half()).isfinite().all():  # a release of torch that computes it in float32
        pytest.skip("it holds here")

    assert run(zeros).isfinite().all()
    assert codes(run, zeros.half()) == ["DT204"]
    assert codes(run, zeros) == []
    assert codes(run, zeros.bfloat16()) == []


@pytest.mark.parametrize(
    "run",
    [
        lambda x: x * 1e-9,
        lambda x: x + 1e-9,
        lambda x: x.masked_fill(MASK, float("-inf")),
        lambda x: _set(x, MASK, float("-inf")),
        lambda x: x * (MASK.to(HALF) * 1e4),
        lambda x: x.clamp(-1e4, 1e4),
        lambda x: (x.float() * 1e9).clamp(-1, 1).to(HALF),
        lambda x: x / (x.norm(dim=-1, keepdim=True) + 1e-6),
        lambda x: x + torch.full((2, 2), torch.finfo(HALF).min).triu(1).to(HALF),
        lambda x: F.layer_norm(x, (2,), eps=1e-12),
        lambda x: (x.var(-1) + 1.0 + 1e-8).rsqrt(),
        lambda x: 1 / (1 + x.exp() + 1e-8),
        lambda x: _shares(x.softmax(-1).topk(2).values, 1e-20),
        lambda x: _shares(x.float().softmax(-1).to(HALF).topk(2).values, 1e-20),
    ],
    ids=map(str, range(14)),
)
def test_numbers_that_are_held_or_do_not_matter_are_quiet(run: Callable[[Tensor], Tensor]) -> None:
    assert codes(run, torch.ones(2, 2, dtype=HALF)) == []


@pytest.mark.parametrize("target", [INTS, torch.int32, torch.uint8, torch.int8])
@pytest.mark.parametrize(
    ("run", "is_told"),
    [
        (lambda x: x.sin(), True),
        (lambda x: x.cos(), True),
        (lambda x: x.tanh(), True),
        (lambda x: x.sigmoid(), True),
        (lambda x: x.softmax(-1), True),
        (lambda x: torch.stack([x.sin(), x.cos()], -1).flatten(-2), True),
        (lambda x: x.softmax(-1) / x.softmax(-1).sum(-1, keepdim=True), False),  # not the same tensor, for all we know
        (lambda x: _shares(x.softmax(-1)), True),
        (lambda x: x / x.norm(dim=-1, keepdim=True), True),
        (lambda x: x.sigmoid() > 0.5, False),
        (lambda x: x.sigmoid() * 255, False),
        (lambda x: x.sigmoid().round(), False),
        (lambda x: x.sin().floor(), False),
        (lambda x: torch.ones_like(x), False),
        (lambda x: x, False),
    ],
    ids=map(str, range(15)),
)
def test_a_lost_fraction_is_told(run: Callable[[Tensor], Tensor], is_told: bool, target: torch.dtype) -> None:
    x = torch.linspace(-3, 3, 12).reshape(3, 4)

    assert codes(lambda x: run(x).to(target), x) == ["DT205"] * is_told
    if is_told and target != torch.uint8:
        given, left = run(x), run(x).to(target)
        assert (given != given.round()).any()
        assert set(left.flatten().tolist()) <= {-1, 0, 1}


def _shares(x: Tensor, eps: float = 1e-6) -> Tensor:
    return x / (x.sum(-1, keepdim=True) + eps)


@pytest.mark.parametrize("target", [HALF, BF16, F32, torch.int16, INTS, torch.float8_e5m2])
@pytest.mark.parametrize("source", [HALF, BF16, F32, torch.int16, torch.uint8, torch.float8_e4m3fn])
def test_bits_are_told_where_the_same_bits_are_another_number(source: torch.dtype, target: torch.dtype) -> None:
    x = torch.ones(8).to(source)

    found = codes(lambda x: x.view(target), x)

    floats = source.is_floating_point and target.is_floating_point
    assert found == ["DT206"] * (floats and source != target)
    if found:
        assert (x.view(target).float().flatten()[:1] != 1).all()


def test_bits_that_are_given_back_are_told_once() -> None:
    x = torch.ones(8, dtype=HALF)

    assert [f.nodes for f in told(lambda x: x.view(BF16).reshape(2, 4).view(HALF), x)] == [("view",)]


@pytest.mark.parametrize("target", [HALF, BF16])
@pytest.mark.parametrize("source", [HALF, BF16])
def test_bits_that_go_through_integers_are_told_where_they_are_another_number(
    source: torch.dtype, target: torch.dtype
) -> None:
    x = torch.ones(8).to(source)

    def run(x: Tensor) -> Tensor:
        return x.view(torch.int16).reshape(2, 4).view(target)

    assert codes(run, x) == ["DT206"] * (source != target)
    assert (run(x).float() != 1).all() == (source != target)


@pytest.mark.parametrize(
    ("run", "is_told"),
    [
        (lambda m: m.float().clamp(0, 1), False),
        (lambda m: m.float().cumsum(-1).clamp(0, 1), False),
        (lambda m: (m > 0).half().sum(-1).clamp(min=0.0, max=1.0), False),
        (lambda m: F.max_pool1d(m.float(), 2).clamp_(0, 1), False),
        (lambda m: (m.float() / 3).clamp(0, 1), True),
        (lambda m: m.float().clamp(0, 0.5), True),
    ],
    ids=map(str, range(6)),
)
def test_integers_that_are_kept_between_0_and_1_lose_no_fraction(
    run: Callable[[Tensor], Tensor], is_told: bool
) -> None:
    mask = torch.arange(12).reshape(3, 4) % 2

    assert codes(lambda m: run(m).long(), mask) == ["DT205"] * is_told
    assert (run(mask) != run(mask).round()).any() == is_told


@pytest.mark.parametrize(("divided", "is_told"), [(lambda x: x / 64, False), (lambda x: x.float() / 64, True)])
def test_the_part_that_a_position_lies_in_is_meant(divided: Callable[[Tensor], Tensor], is_told: bool) -> None:
    assert codes(lambda x: divided(torch.arange(16) * x.shape[0]).long(), torch.ones(1)) == ["DT205"] * is_told
