"""The hint of a stop names an input only where another input really clears the error, and never for the model's own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import nn

from analyzer import trace
from analyzer.errors import AnalyzerError
from analyzer.ir.plan import Plan
from analyzer.running.forward import capture, from_callable

CPU = Plan(device="cpu")
OWN = "it reads no input directly: the model's own error, or a call that analyze does not trace"


class Net(nn.Module):
    """A layer, an operation that may be refused, and arguments that may be left out."""

    def __init__(self, then: Callable[..., torch.Tensor]) -> None:
        super().__init__()
        self.layer, self.rnn, self.then = nn.Linear(4, 4), nn.LSTM(8, 4), then

    def forward(self, x: torch.Tensor, mask: torch.Tensor, extra: torch.Tensor | None = None) -> torch.Tensor:
        """What the case does with the layer's output and the inputs."""
        return self.then(self, self.layer(x), mask, extra)


def _refuses_the_mask(_: Net, h: torch.Tensor, mask: torch.Tensor, extra: object) -> torch.Tensor:
    if mask.shape[0] != h.shape[0]:
        raise ValueError("a mask row for each token")
    return h


def _fits(wanted: int, got: int) -> None:
    if wanted != got:
        raise ValueError("does not fit")


def _asks_a_helper(_: Net, h: torch.Tensor, mask: torch.Tensor, extra: object) -> torch.Tensor:
    _fits(h.shape[0], mask.shape[0])
    return h


def _adds_the_mask(_: Net, h: torch.Tensor, mask: torch.Tensor, extra: object) -> torch.Tensor:
    return h + mask.to(h.dtype).unsqueeze(-1)


def _raises(_: Net, h: torch.Tensor, mask: torch.Tensor, extra: object) -> torch.Tensor:
    raise NotImplementedError("later")


def _joins_other_ranks(_: Net, h: torch.Tensor, mask: torch.Tensor, extra: object) -> torch.Tensor:
    return torch.cat([h, h.flatten()])


def _has_no_such_attribute(_: Net, h: torch.Tensor, mask: torch.Tensor, extra: object) -> torch.Tensor:
    return h.nonsense  # type: ignore[attr-defined,no-any-return]


def _runs_an_lstm_of_another_width(net: Net, h: torch.Tensor, mask: torch.Tensor, extra: object) -> torch.Tensor:
    return net.rnn(h)  # type: ignore[no-any-return]


def _needs_extra(_: Net, h: torch.Tensor, mask: torch.Tensor, extra: torch.Tensor | None) -> torch.Tensor:
    return h * extra.shape[0]  # type: ignore[union-attr]


X = torch.ones(2, 4)
THREE, TWO = torch.ones(3, dtype=torch.long), torch.ones(2, dtype=torch.long)


@pytest.mark.parametrize("then", [_refuses_the_mask, _asks_a_helper, _adds_the_mask])
def test_an_input_that_the_failing_line_reads_is_named_and_another_one_clears_it(
    then: Callable[..., torch.Tensor],
) -> None:
    net = Net(then)
    with pytest.raises((ValueError, RuntimeError)):
        net(x=X, mask=THREE)
    net(x=X, mask=TWO)
    net = net.to("meta")
    report = trace(net, kwargs={"x": X, "mask": THREE}, plan=CPU)
    assert report.coverage.incomplete.endswith("(it reads the input kwargs.mask: check it)")
    assert trace(net, kwargs={"x": X, "mask": TWO}, plan=CPU).ok


@pytest.mark.parametrize("then", [_raises, _joins_other_ranks, _has_no_such_attribute, _runs_an_lstm_of_another_width])
def test_no_input_is_named_for_an_error_of_the_model_itself(then: Callable[..., torch.Tensor]) -> None:
    net = Net(then)
    for x, mask in ((X, TWO), (torch.ones(3, 4), THREE), (torch.ones(1, 4), TWO)):
        with pytest.raises((NotImplementedError, RuntimeError, AttributeError)):
            net(x=x, mask=mask)
    report = trace(net.to("meta"), kwargs={"x": X, "mask": TWO}, plan=CPU)
    assert report.coverage.incomplete.endswith(f"({OWN})")


def test_no_input_is_named_for_a_name_that_is_missing_though_the_line_reads_one() -> None:
    net = Net(lambda net, h, mask, extra: h.sum() * net.missing(mask))
    with pytest.raises(AttributeError, match="missing"):
        net(x=X, mask=TWO)
    report = trace(net.to("meta"), kwargs={"x": X, "mask": TWO}, plan=CPU)
    assert report.coverage.incomplete.endswith(f"({OWN.partition(': ')[2]})")


def test_an_argument_that_was_not_given_is_named_where_the_line_reads_it() -> None:
    net = Net(_needs_extra)
    with pytest.raises(AttributeError):
        net(x=X, mask=TWO)
    net(x=X, mask=TWO, extra=X)
    report = trace(net.to("meta"), kwargs={"x": X, "mask": TWO}, plan=CPU)
    assert report.coverage.incomplete.endswith("(it reads extra, which was not given: give it)")


def test_a_class_without_a_forward_is_told_as_that() -> None:
    class Nothing(nn.Module):
        pass

    with pytest.raises(NotImplementedError):
        Nothing()(X)
    with pytest.raises(AnalyzerError, match=r"\(Nothing defines no forward\)$"):
        trace(Nothing(), (X,), plan=CPU)


def _hint(net: Net, invented: str) -> str:
    loaded = from_callable(net.to("meta"), (), {"x": X, "mask": THREE})
    stop = capture(replace(loaded, invented=invented, path="model"), CPU).stop
    assert stop
    return stop.hint


def test_an_input_that_was_made_up_is_said_to_be_and_one_behind_a_layer_is_only_a_possibility() -> None:
    made_up = _hint(Net(_adds_the_mask), "float32")
    assert made_up == "it reads the input kwargs.mask, which was made up: give yours with --inputs FILE"
    behind = _hint(Net(_joins_other_ranks), "float32")
    words = "; if a real call gets further than one with the made-up kwargs.x, give yours with --inputs FILE"
    assert behind == OWN + words
    for then, invented in ((_joins_other_ranks, ""), (_raises, "float32"), (_has_no_such_attribute, "float32")):
        assert _hint(Net(then), invented) == f"{OWN}; --debug shows the traceback"
