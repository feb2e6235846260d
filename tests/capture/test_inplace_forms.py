"""Calls that give a tensor another shape, stride or memory: every node and what reads it later is the real one."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, Final

import pytest
import torch
from torch import nn

import analyzer
from analyzer.ir.plan import Plan
from analyzer.running.forward import from_callable
from tests.truth.compare import SEQUENCE, compare_ops
from tests.truth.running import How, real_run, traced_run

WINDOW: Final = torch.hann_window(16)


def _clone(change: Callable[[torch.Tensor], object]) -> Callable[[torch.Tensor], Any]:
    """What is left of a copy of the input (2, 3, 4) after a call in place, read once more."""

    def call(x: torch.Tensor) -> Any:
        y = x.clone()
        change(y)
        return y + 1

    return call


def _set_on(*form: Any) -> Callable[[torch.Tensor], Any]:
    def call(x: torch.Tensor) -> Any:
        y = torch.empty(0)
        y.set_(x, *form)  # type: ignore[call-overload]
        y.add_(1)
        return x * 2, y * 2

    return call


def _set_on_storage(x: torch.Tensor) -> Any:
    y = torch.empty(0)
    y.set_(x.untyped_storage(), 1, (2, 3), (3, 1))  # type: ignore[call-overload]
    y.add_(1)
    return x * 2, y * 2


def _set_on_all_of_a_storage(x: torch.Tensor) -> Any:
    y = torch.empty(0)
    y.set_(x.untyped_storage())  # type: ignore[call-overload]
    return y.add_(1), x * 2


def _set_on_real_memory(x: torch.Tensor) -> Any:
    table = torch.arange(6)
    view = torch.empty(0, dtype=torch.int64)
    view.set_(table, 1, (2, 2))  # type: ignore[call-overload]
    table.add_(1)
    return x[:, :, : int(view[1, 1]) - 2] * view.shape[0]


def _known(x: torch.Tensor) -> Any:
    table = torch.arange(6).reshape(2, 3)
    table.t_()
    return x[:, table[1, 1] - 3 :] + table.shape[0]


def _view_of_known(x: torch.Tensor) -> Any:
    table = torch.arange(6).reshape(2, 3)
    row = table[0]
    row.unsqueeze_(0).add_(1)
    return x.new_ones(int(table[0, 0]), *row.shape) * x[0, 0, 0]


def _data(make: Callable[[torch.Tensor], torch.Tensor]) -> Callable[[torch.Tensor], Any]:
    def call(x: torch.Tensor) -> Any:
        y = x.clone()
        y.data = make(x)
        y.add_(1)
        return x * 2, y * 2

    return call


def _out(x: torch.Tensor) -> Any:
    into = torch.empty(0)
    torch.add(x, x.transpose(0, 1)[:2, :2].sum(), out=into)
    return into * 2


def _out_in_another_layout(x: torch.Tensor) -> Any:
    into = torch.empty(4, 3, 2).permute(2, 1, 0)
    torch.add(x, x, out=into)
    return into * 2


def _view(x: torch.Tensor) -> Any:
    y = x.clone()
    part = y[0]
    part.unsqueeze_(0)
    part.mul_(2)
    return y * 2, part * 3


def _spectrum(x: torch.Tensor) -> Any:
    wave = x.reshape(1, -1).repeat(1, 20)
    there = torch.stft(wave, 16, window=WINDOW, return_complex=True)
    return torch.istft(there, 16, window=WINDOW), there.abs()


FORMS: Final[dict[str, Callable[[torch.Tensor], Any]]] = {
    "transpose_": _clone(lambda y: y.transpose_(0, 1)),
    "swapaxes_, swapdims_": _clone(lambda y: y.swapaxes_(0, 1).swapdims_(1, 2)),
    "t_": lambda x: _clone(lambda y: y.t_())(x[0]),
    "squeeze_": lambda x: _clone(lambda y: y.squeeze_())(x[:1]),
    "squeeze_ of one": lambda x: _clone(lambda y: y.squeeze_(0))(x[:1]),
    "squeeze_ of several": lambda x: _clone(lambda y: y.squeeze_((0, 2)))(x[:1, :, :1]),
    "squeeze_ of none": _clone(lambda y: y.squeeze_()),
    "unsqueeze_": _clone(lambda y: y.unsqueeze_(-1)),
    "as_strided_": _clone(lambda y: y.as_strided_((2, 2), (1, 1), 5)),
    "resize_": _clone(lambda y: y.resize_(3, 5).fill_(1)),  # type: ignore[no-untyped-call]
    "resize_as_": _clone(lambda y: y.resize_as_(torch.empty(3, 2)).fill_(1)),
    "detach_": _clone(lambda y: y.detach_().requires_grad_()),
    "set_": _set_on(),
    "set_ by an offset": _set_on(2, (3,), (2,)),
    "set_ on a storage": _set_on_storage,
    "set_ on all of a storage": _set_on_all_of_a_storage,
    "set_ on real memory": _set_on_real_memory,
    "set_ to nothing": _clone(lambda y: y.set_()),  # type: ignore[call-overload]
    "data": _data(lambda x: x[0]),
    "data in another dtype": _data(lambda x: x[0].bfloat16()),
    "data of a read": _clone(lambda y: y.data.transpose_(0, 1)),
    "a known value": _known,
    "a view of a known value": _view_of_known,
    "a view": _view,
    "out": _out,
    "out in another layout": _out_in_another_layout,
    "one of a split": lambda x: x.clone().split(1, 1)[0].squeeze_(1) * 2,
    "a mask": lambda x: (x > 0).transpose_(0, 1).any(),
    "spectrum": _spectrum,
}


class Called(nn.Module):
    """A function of a tensor times a weight."""

    def __init__(self, function: Callable[[torch.Tensor], Any]) -> None:
        super().__init__()
        self.weight, self.function = nn.Parameter(torch.ones(4)), function

    def forward(self, x: torch.Tensor) -> Any:
        return self.function(x * self.weight)


@pytest.mark.parametrize("name", FORMS)
def test_every_node_has_the_real_shape_stride_and_storage(name: str) -> None:
    _agrees(Called(FORMS[name]), train=False)


@pytest.mark.parametrize("name", ["transpose_", "unsqueeze_", "t_", "squeeze_ of one", "as_strided_", "a view"])
def test_gradients_take_the_real_way_back(name: str) -> None:
    _agrees(Called(FORMS[name]), train=True)


def _agrees(module: nn.Module, train: bool) -> None:
    inputs = {"x": torch.arange(24.0).reshape(2, 3, 4) - 3}
    loaded = from_callable(copy.deepcopy(module), (), inputs)
    traced, captured = traced_run(loaded, Plan(device="cpu", train=train))
    assert captured is not None and captured.stop is None
    real = real_run(module, inputs, How(train=train))
    if compare_ops(real, traced)[0] != SEQUENCE:
        real = real_run(module, inputs, How(train=train, replay=True))
    assert real.raised is None and len(real.ops) > 2
    assert compare_ops(real, traced) == (SEQUENCE, [], ())


def test_a_set_between_dtypes_is_a_finding() -> None:
    def call(x: torch.Tensor) -> torch.Tensor:
        return torch.empty(0, dtype=torch.float64).set_(x)  # type: ignore[call-overload, no-any-return]

    report = analyzer.trace(call, (torch.ones(2, 3),), plan=Plan(device="cpu"))
    with pytest.raises(RuntimeError) as raised:
        call(torch.ones(2, 3))
    assert [f.message for f in report.findings if f.severity == "error"] == [str(raised.value)]


def test_inputs_that_are_one_tensor_lie_on_one_memory() -> None:
    def call(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        b.add_(1)
        return a * 2

    x = torch.zeros(2, 2, dtype=torch.int64)
    report = analyzer.trace(call, (x, x[0]), plan=Plan(device="cpu"))
    assert [node.op for node in report.graph if node.op == "memory.updated"]
    assert not x.any()
