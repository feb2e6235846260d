"""Calls that are refused for integers, bools, complex numbers and 8-bit floats, against real runs."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, Final

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import analyzer
from analyzer import Plan
from analyzer.propagate import disagreements, propagate

L, I32, U, B, C64 = torch.long, torch.int32, torch.uint8, torch.bfloat16, torch.complex64
ROW, SQUARE = torch.randn(2, 4), torch.randn(4, 4)
Call = tuple[Callable[..., Any], tuple[Any, ...]]


def ones(*shape: int, dtype: torch.dtype = L) -> torch.Tensor:
    return torch.ones(shape, dtype=dtype)


def _image(dtype: torch.dtype) -> torch.Tensor:
    return torch.zeros(1, 3, 8, 8, dtype=dtype)


def _masked_attention(query: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    return F.scaled_dot_product_attention(query, query, query, attn_mask=mask)


def _put(target: torch.Tensor, where: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    target[where] = values
    return target


REFUSED: Final[dict[str, Call]] = {
    "linear of integers": (nn.Linear(4, 4), (ones(2, 4),)),
    "linear of a mask": (nn.Linear(4, 4), (ones(2, 4, dtype=torch.bool),)),
    "linear of complex numbers": (nn.Linear(4, 4), (ones(2, 4, dtype=torch.complex64),)),
    "linear of 8-bit floats": (nn.Linear(4, 4), (ones(2, 4, dtype=torch.float8_e4m3fn),)),
    "matmul of integers": (torch.matmul, (ones(2, 4), SQUARE)),
    "mm with int32": (torch.mm, (ROW, ones(4, 4, dtype=I32))),
    "mm of a mask": (torch.mm, (ones(2, 4, dtype=torch.bool), SQUARE)),
    "mm of complex and float": (lambda a, b: a.to(torch.complex64) @ b, (ROW, SQUARE)),
    "bmm of integers": (torch.bmm, (ones(1, 2, 4), SQUARE[None])),
    "conv of a byte image": (nn.Conv2d(3, 4, 3), (_image(U),)),
    "conv without bias": (nn.Conv2d(3, 4, 3, bias=False), (_image(L),)),
    "layer_norm of integers": (nn.LayerNorm(4), (ones(2, 4),)),
    "softmax of integers": (lambda x: x.softmax(-1), (ones(2, 4),)),
    "mean of integers": (lambda x: x.mean(), (ones(2, 4),)),
    "embedding of floats": (nn.Embedding(8, 4), (torch.ones(2),)),
    "cross_entropy, int32 target": (F.cross_entropy, (ROW, torch.tensor([1, 2], dtype=I32))),
    "cross_entropy, float classes": (F.cross_entropy, (ROW, torch.tensor([1.0, 2.0]))),
    "bce, integer target": (F.binary_cross_entropy, (torch.rand(2, 4), ones(2, 4))),
    "bce with logits, integer target": (F.binary_cross_entropy_with_logits, (ROW, ones(2, 4))),
    "attention, integer mask": (_masked_attention, (torch.randn(1, 1, 4, 8), ones(1, 1, 4, 4))),
    "masked_fill by integers": (lambda q, m: q.masked_fill(m, 0.0), (torch.randn(4), ones(4))),
    "where by integers": (lambda q, m: torch.where(m, q, q), (torch.randn(4), ones(4))),
    "integers += floats": (lambda a, b: a.add_(b), (ones(4), torch.randn(4))),
    "1 - mask": (lambda m: 1 - m, (ones(4, dtype=torch.bool),)),
    "-mask": (lambda m: -m, (ones(4, dtype=torch.bool),)),
    "or of floats": (torch.bitwise_or, (torch.rand(8), torch.rand(8))),
    "bincount of floats": (torch.bincount, (torch.rand(8),)),
    "index by floats": (lambda q, m: q[m], (torch.randn(4), torch.ones(4))),
    "gather by floats": (lambda q, m: q.gather(0, m), (torch.randn(4), torch.zeros(4))),
    "scatter of floats into integers": (lambda a, b: a.scatter_(0, torch.tensor([1]), b), (ones(4), torch.ones(1))),
    "norm of integers": (lambda x: x.norm(), (ones(4),)),
    "normalize integers": (F.normalize, (ones(2, 4),)),
    "negative power of integers": (lambda x: x**-1, (ones(4),)),
    "floor of complex": (torch.floor, (ones(4, dtype=torch.complex64),)),
    "comparison of complex": (torch.lt, (ones(4, dtype=torch.complex64), torch.ones(4))),
    "lstm": (nn.LSTM(4, 8).to(B), (torch.randn(2, 3, 4),)),
    "gru of integers": (nn.GRU(4, 8), (ones(2, 3, 4),)),
    "fractional pool of bytes": (lambda x: F.fractional_max_pool2d(x, 2, output_size=3), (_image(U),)),
    "tensor_split at int32": (lambda x, i: torch.tensor_split(x, i), (torch.randn(4), torch.tensor([1, 2], dtype=I32))),
    "masked mean of integers": (torch.masked.mean, (ones(2, 4),)),
    "infinity in integers": (lambda m: m.masked_fill(m == 0, float("-inf")), (ones(4),)),
    "infinity in uint64": (lambda m: m.masked_fill(m == 0, float("-inf")), (ones(4).to(torch.uint64),)),
    "int8 product of floats": (torch._int_mm, (torch.randn(32, 32), torch.randn(32, 32))),
    "multilabel, float target": (F.multilabel_margin_loss, (torch.rand(4, 5), torch.ones(4, 5))),
    "masks, put integers": (_put, (ones(8, dtype=torch.bool), torch.arange(2), ones(2))),
    "integers, put masks": (_put, (ones(8), torch.arange(2), ones(2, dtype=torch.bool))),
    "int32, put integers": (_put, (ones(8, dtype=I32), torch.arange(2), ones(2))),
    "bytes, put masks by a mask": (_put, (ones(2, dtype=U), torch.tensor([True, True]), ones(2, dtype=torch.bool))),
    "hessian of integers": (torch.func.hessian(lambda t: (t**3).sum()), (ones(3),)),
}
NO_KERNEL: Final[dict[str, Call]] = {
    "normal integers": (lambda x: x + torch.randn(2, 4, dtype=L), (ROW,)),
    "uniform integers": (lambda x: x + torch.rand(4, dtype=I32), (ROW,)),
    "normal integers like": (lambda x: torch.randn_like(x, dtype=L), (ROW,)),
    "permuted masks": (lambda x: x + torch.randperm(4, dtype=torch.bool), (ROW,)),
    "range of masks": (lambda x: x + torch.arange(4, dtype=torch.bool), (ROW,)),
    "range of complex": (lambda x: x + torch.arange(4, dtype=C64), (ROW,)),
    "window of integers": (lambda x: x + torch.hann_window(4, dtype=L), (ROW,)),
    "mean as integers": (lambda x: x.mean(dtype=L), (ROW,)),
    "segments of complex lengths": (
        lambda x, n: torch.segment_reduce(x, "sum", lengths=n), (torch.rand(5, 3), torch.tensor([2, 3], dtype=C64)),
    ),
}  # fmt: skip
"""Refused in whatever dtypes the operands are: for a dtype that is asked for, or where values are not known."""


def _raised(function: Callable[..., Any], args: tuple[Any, ...]) -> str:
    with pytest.raises(Exception) as raised, torch.no_grad():
        copy.deepcopy(function)(*copy.deepcopy(args))
    return str(raised.value)


@pytest.mark.parametrize("name", [*REFUSED, *NO_KERNEL])
def test_a_refused_kind_is_a_finding_in_the_real_words_and_the_run_goes_on(name: str) -> None:
    function, args = {**REFUSED, **NO_KERNEL}[name]
    report = analyzer.trace(function, args, plan=Plan(device="cpu"))
    errors = [finding for finding in report.findings if finding.severity == "error"]
    assert errors[0].message == _raised(function, args)
    assert not report.coverage.incomplete and report.outputs
    assert not list(disagreements(propagate(report.graph, report.plan)))


@pytest.mark.parametrize("name", REFUSED)
def test_what_a_repair_casts_makes_the_real_call_run(name: str) -> None:
    """The repaired operands, found among the arguments, really cast: the call runs, and gives the traced dtypes."""
    function, args = REFUSED[name]
    report = analyzer.trace(function, args, plan=Plan(device="cpu"))
    (refused,) = [node for node in report.graph.ops() if node.refused]
    odd = {report.graph[ref.id].name for ref in report.flow.odd(refused.id)}
    wanted = getattr(torch, refused.repair)
    mended = [a.to(wanted) if f"args.{i}" in odd else a for i, a in enumerate(args)]
    if [a.dtype for a in mended] == [a.dtype for a in args]:
        pytest.skip("the odd operand was made inside of the call")
    with torch.no_grad():
        real = copy.deepcopy(function)(*copy.deepcopy(mended))
    real = torch.utils._pytree.tree_leaves(real)
    assert report.outputs == tuple(str(t.dtype).removeprefix("torch.") for t in real)


def _there_and_back(signal: torch.Tensor, window: torch.Tensor) -> torch.Tensor:
    return torch.istft(torch.stft(signal, 8, window=window, return_complex=True), 8, window=window)


RUN: Final[dict[str, Call]] = {
    "window that is an input": (_there_and_back, (torch.randn(1, 64), torch.hann_window(8))),
    "hessian": (torch.func.hessian(lambda t: (t**3).sum()), (torch.ones(3),)),
    "integers + floats": (torch.add, (ones(4), torch.ones(4))),
    "integers divided": (lambda x: x / 2, (ones(4),)),
    "mask * floats": (torch.mul, (ones(4, dtype=torch.bool), torch.ones(4))),
    "int32 into an embedding": (nn.Embedding(8, 4), (torch.zeros(2, dtype=I32),)),
    "index by bytes": (lambda q, m: q[m.bool()], (torch.randn(4), ones(4, dtype=U))),
    "floor division by a tensor": (lambda a, b: a // b, (ones(4), ones(4))),
    "remainder": (torch.remainder, (ones(4), ones(4))),
    "sum of a mask": (lambda m: m.sum(), (ones(4, dtype=torch.bool),)),
    "complex product": (torch.mm, (ones(2, 4, dtype=torch.complex64), ones(4, 2, dtype=torch.complex64))),
    "integer product": (torch.mm, (ones(2, 4), ones(4, 2))),
}


@pytest.mark.parametrize("name", RUN)
def test_what_really_runs_is_no_finding(name: str) -> None:
    function, args = RUN[name]
    report = analyzer.trace(function, args, plan=Plan(device="cpu"))
    with torch.no_grad():
        real = function(*args)
    assert [f.message for f in report.findings if f.severity == "error"] == []
    assert report.outputs == (str(real.dtype).removeprefix("torch."),)


def test_an_error_that_no_dtype_mends_is_the_models_own() -> None:
    report = analyzer.trace(lambda x: (x * 2) @ torch.ones(3, 3), (torch.ones(2, 4),), plan=Plan(device="cpu"))
    assert not report.findings and "shapes cannot be multiplied" in report.coverage.incomplete


@pytest.mark.parametrize(
    "function",
    [lambda n: torch.ones(4, dtype=L) // n, lambda n: torch.arange(4)[n + 4], lambda n: torch.arange(4) % n],
    ids=["divided by zero", "beyond the end", "remainder by zero"],
)
def test_an_error_that_other_integers_mend_is_of_no_dtype(function: Callable[[torch.Tensor], torch.Tensor]) -> None:
    args = (torch.zeros(4, dtype=L),)
    said = _raised(function, args)
    report = analyzer.trace(lambda n: function(n * 2), args, plan=Plan(device="cpu"))
    assert not report.findings and said in report.coverage.incomplete


def test_several_kinds_in_one_run_are_all_found() -> None:
    def several(x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        y = x.masked_fill(mask, 0.0)
        return F.linear(mask, SQUARE) + y.sum()

    report = analyzer.trace(several, (SQUARE, ones(4, 4)), plan=Plan(device="cpu"))
    assert [node.refused for node in report.graph.ops() if node.refused] == [
        _raised(lambda x, m: x.masked_fill(m, 0.0), (SQUARE, ones(4, 4))),
        _raised(lambda x, m: F.linear(m, SQUARE), (SQUARE, ones(4, 4))),
    ]
    (finding,) = [f for f in report.findings if f.severity == "error"]  # one cause, two places
    assert len(finding.nodes) == 2
