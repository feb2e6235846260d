"""DT506 in a graph: what it tells of an update is what a real tensor does, whatever the form of the write."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import nn

from analyzer.ir.findings import Finding
from analyzer.ir.flow import Flow
from analyzer.ir.plan import Plan
from analyzer.rules import check
from analyzer.running.forward import capture, from_callable

BF16, F16, F32 = torch.bfloat16, torch.float16, torch.float32
Write = Callable[[torch.Tensor, torch.Tensor, float], Any]


class State(nn.Module):
    """Something that is kept between calls, and written by each."""

    def __init__(self, write: Write, dtype: torch.dtype, by: float) -> None:
        super().__init__()
        self.write, self.by = write, by
        self.register_buffer("kept", torch.ones(8, dtype=dtype))

    def forward(self, new: torch.Tensor) -> torch.Tensor:
        """Write, and give what was given."""
        with torch.no_grad():
            made = self.write(self.kept, new, self.by)
        if isinstance(made, torch.Tensor) and made.shape == self.kept.shape:
            self.kept = made
        return new


def _lists(kept: torch.Tensor, new: torch.Tensor, by: float) -> None:
    difference = torch._foreach_sub([kept], [new])
    torch._foreach_mul_(difference, by)
    torch._foreach_sub_([kept], difference)


def _in_lists(kept: torch.Tensor, new: torch.Tensor, by: float) -> None:
    torch._foreach_mul_([kept], 1 - by)
    torch._foreach_add_([kept], [new], alpha=by)


def _rounded_copy(kept: torch.Tensor, new: torch.Tensor, by: float) -> None:
    wide = kept.float()
    wide.add_(new.float() - wide, alpha=by)
    kept.copy_(wide)


FORMS: dict[str, Write] = {
    "sub_": lambda kept, new, by: kept.sub_(by * (kept - new)),
    "lerp_": lambda kept, new, by: kept.lerp_(new, by),
    "mul_ and add_": lambda kept, new, by: kept.mul_(1 - by).add_(new, alpha=by),
    "copy_": lambda kept, new, by: kept.copy_((1 - by) * kept + by * new),
    "copy_, the other way round": lambda kept, new, by: kept.copy_(by * new + (1 - by) * kept),
    "copy_ of a wide sum": lambda kept, new, by: kept.copy_((1 - by) * kept.float() + by * new.float()),
    "copy_ of a wide copy": _rounded_copy,
    "copy_ of a lerp": lambda kept, new, by: kept.copy_(torch.lerp(kept, new, by)),
    "a new tensor": lambda kept, new, by: kept * (1 - by) + new * by,
    "a new tensor by lerp": lambda kept, new, by: torch.lerp(kept, new, by),
    "through .data": lambda kept, new, by: kept.data.mul_(1 - by).add_(new.data, alpha=by),
    "a division": lambda kept, new, by: kept.add_((new - kept) / (1 / by)),
    "a part": lambda kept, new, by: kept[2:4].sub_(by * (kept - new)[2:4]),
    "a step": lambda kept, new, by: kept.add_(new, alpha=-by),
    "addcdiv_": lambda kept, new, by: kept.addcdiv_(new, new.abs() + 1, value=-by),
    "addcdiv_ of a product": lambda kept, new, by: kept.addcdiv_(new * -by, new.abs() + 1),
    "addcmul_": lambda kept, new, by: kept.addcmul_(new, new, value=by / 4),
    "out=": lambda kept, new, by: torch.add(kept, new, alpha=-by, out=kept),
    "foreach": _in_lists,
    "foreach lerp": lambda kept, new, by: torch._foreach_lerp_([kept], [new], by),
    "foreach of differences": _lists,
}


def _found(module: Callable[..., Any], *args: torch.Tensor, train: bool = False) -> list[Finding]:
    plan = Plan(device="cpu", train=train)
    findings = check(Flow.as_captured(capture(from_callable(module, args, {}), plan).graph, plan))
    return [f for f in findings if f.code == "DT506"]


@pytest.mark.parametrize(
    ("dtype", "by"), [(BF16, 5e-4), (F16, 1e-4), (F32, 1e-4), (BF16, 0.1), (F16, 1e-2)], ids=lambda v: str(v)
)
@pytest.mark.parametrize("name", FORMS)
def test_it_tells_what_really_does_not_move(name: str, dtype: torch.dtype, by: float) -> None:
    state, new = State(FORMS[name], dtype, by), torch.full((8,), 2.0, dtype=dtype)
    (told,) = _found(State(FORMS[name], dtype, by), new) or [None]
    for _ in range(20):
        state(new)
    assert bool(told) == bool((state.kept == 1).all())
    assert not told or (told.severity, told.operands[0].origins[0].name) == ("warning", "kept")


@pytest.mark.parametrize("momentum", [1e-3, 0.1])
@pytest.mark.parametrize("dtype", [BF16, F32], ids=str)
def test_running_statistics(momentum: float, dtype: torch.dtype) -> None:
    def norm() -> nn.BatchNorm1d:
        made = nn.BatchNorm1d(4, momentum=momentum, dtype=dtype).train()
        made.running_mean += 1  # type: ignore[operator]
        return made

    real, x = norm(), torch.randn(16, 4).to(dtype)
    for _ in range(20):
        real(x)
    assert bool(_found(norm(), x, train=True)) == bool((real.running_mean == 1).all())
    assert not _found(norm().eval(), x)


def _kahan(kept: torch.Tensor, rest: torch.Tensor, new: torch.Tensor) -> None:
    """One step with what rounding loses kept in another 16 bits, as torch-optimi takes it."""
    rest.add_(new, alpha=-1e-4)
    before = kept.clone()
    kept.add_(rest)
    rest.add_(before.sub_(kept))


def test_compensation_and_masters_really_move_and_are_quiet() -> None:
    kept, rest, new = torch.ones(8, dtype=BF16), torch.zeros(8, dtype=BF16), torch.ones(8, dtype=BF16)
    assert not _found(lambda g: _kahan(kept, rest, g), new)
    for _ in range(200):
        _kahan(kept, rest, new)
    assert (kept != 1).all()
    master = torch.ones(8)

    def with_master(g: torch.Tensor) -> None:
        master.add_(g.float(), alpha=-1e-4)
        kept.copy_(master)

    assert not _found(with_master, new)


def _each_way(name: str) -> Iterator[dict[str, bool]]:
    yield {"foreach": False}
    yield {"foreach": True}
    if name in ("SGD", "Adam", "AdamW", "Adagrad"):
        yield {"fused": True}


@pytest.mark.parametrize("lr", [1e-5, 0.05])
@pytest.mark.parametrize("dtype", [BF16, F32], ids=str)
@pytest.mark.parametrize(
    ("name", "how"),
    [(n, how) for n in ("SGD", "Adam", "AdamW", "RMSprop", "Adagrad", "NAdam") for how in _each_way(n)],
    ids=str,
)
def test_a_traced_step_of_a_real_optimizer(name: str, how: dict[str, bool], dtype: torch.dtype, lr: float) -> None:
    """Weights of one; the gradient is one as well."""
    weight = nn.Parameter(torch.ones(4, dtype=dtype))
    optimizer = getattr(torch.optim, name)([weight], lr=lr, **how)

    def step(x: torch.Tensor) -> torch.Tensor:
        optimizer.zero_grad()
        (weight * x).sum().backward()
        optimizer.step()
        return x

    told = _found(step, torch.ones(4, dtype=dtype), train=True)
    optimizer = getattr(torch.optim, name)([weight], lr=lr, **how)
    step(torch.ones(4, dtype=dtype))
    of_weights = [f for f in told if f.operands[0].origins[0].kind == "constant" and "state" not in f.message]
    assert bool(of_weights) == bool((weight == 1).all())
    states = [f for f in told if f not in of_weights]
    assert bool(states) == (dtype == BF16 and name in ("Adam", "AdamW", "NAdam"))  # beta2 is 0.999
