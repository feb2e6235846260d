"""A slice of the comparison of layouts, and that it would notice a difference."""

from __future__ import annotations

import warnings

import pytest
import torch

from analyzer.capture.strides import results as traced
from analyzer.capture.tracing import signature as signatures
from tests.truth.layouts import compare

OPERATORS = (
    "nn.functional.conv2d", "nn.functional.conv1d", "nn.functional.batch_norm", "nn.functional.pixel_shuffle",
    "nn.functional.embedding_bag", "nn.functional.glu", "nn.functional.layer_norm", "copysign", "floor_divide", "xlogy",
    "abs", "where", "masked_fill", "clone", "linalg.svd", "fft.rfft2", "unsafe_split", "split", "reshape", "view_as",
)  # fmt: skip


@pytest.mark.parametrize("name", OPERATORS)
def test_results_lie_as_the_real_ones(name: str) -> None:
    warnings.simplefilter("ignore")
    compared = compare((name,), samples=3)
    assert sum(compared.calls.values()) > 5
    assert [str(difference) for difference in compared.wrong] == []


def test_a_layout_of_a_meta_kernel_alone_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(traced, "_RULES", {})
    monkeypatch.setattr(traced, "ASKED", frozenset())
    assert {d.op for d in compare(("svd",), 8, False).wrong} == {"aten._linalg_svd.default"}


def test_a_result_that_shares_memory_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signatures, "_SHARE", ())
    signatures.signature.cache_clear()
    try:
        assert {d.op for d in compare(("unsafe_split",), 2, False).wrong} == {"aten.unsafe_split.Tensor"}
    finally:
        signatures.signature.cache_clear()


@pytest.mark.parametrize("name", ["nn.functional.conv2d", "nn.functional.batch_norm", "nn.functional.pixel_shuffle"])
def test_the_rules_for_large_operands_are_those_of_the_kernel(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(traced, "ASKED_LIMIT", 0)
    wrong = compare((name,), samples=4).wrong
    assert [str(d) for d in wrong if d.op in traced._RULES] == []


def test_a_norm_fills_its_memory_in_order_also_of_what_was_turned_over_an_axis_of_one() -> None:
    turned = torch.ones(16, 1, 8).permute(1, 0, 2)
    call = torch.ops.aten.native_layer_norm.default
    real = call(turned, [8], None, None, 1e-5)
    args = (turned.to("meta"), [8], None, None, 1e-5)
    made = [*call(*args)]
    assert [stride for _, stride in traced.forms(call, args, {}, made)] == [one.stride() for one in real]


def test_an_image_in_channels_last_stays_so_through_a_large_convolution() -> None:
    x = torch.empty(1, 8, 96, 96, device="meta").to(memory_format=torch.channels_last)
    weight = torch.empty(8, 8, 3, 3, device="meta")
    args = (x, weight, None, [1, 1], [1, 1], [1, 1], False, [0, 0], 1)
    assert x.numel() > traced.ASKED_LIMIT
    made = torch.ops.aten.convolution.default(*args)
    (form,) = traced.forms(torch.ops.aten.convolution.default, args, {}, [made])
    real = torch.nn.functional.conv2d(
        torch.ones(x.shape).to(memory_format=torch.channels_last), torch.ones(8, 8, 3, 3), padding=1
    )
    assert form == (tuple(real.shape), real.stride())
