"""Layouts decide which operations a later call becomes, and so the words of its refusal."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

import analyzer
from analyzer.ir.plan import Plan
from tests.capture.real import really, traced


class Normed(nn.Module):
    """A batch norm of a permuted tensor, permuted back, before a linear layer."""

    def __init__(self, norm: nn.Module, order: tuple[int, ...], back: tuple[int, ...]) -> None:
        super().__init__()
        self.norm, self.linear, self.order, self.back = norm, nn.Linear(4, 4), order, back

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.linear(self.norm(x.permute(self.order)).permute(self.back))  # type: ignore[no-any-return]


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("wide", [False, True])
def test_a_linear_after_a_batch_norm_is_the_real_operations(training: bool, wide: bool) -> None:
    flat = Normed(nn.BatchNorm1d(4), (0, 2, 1), (0, 2, 1)), torch.ones(2, 3, 4)
    image = Normed(nn.BatchNorm2d(4), (0, 3, 1, 2), (0, 2, 3, 1)), torch.ones(2, 3, 5, 4)
    other = Normed(nn.BatchNorm2d(4), (0, 3, 2, 1), (0, 2, 3, 1)), torch.ones(2, 3, 5, 4)
    for module, x in (flat, image, other):
        module.to(torch.bfloat16).train(training)
        if wide:
            module.linear.to(torch.float32)
        captured, ops = traced(copy.deepcopy(module), {"x": x.bfloat16()})
        refused = [n.refused for n in captured.graph if n.refused]
        if not wide:
            assert ops == really(module, {"x": x.bfloat16()})
            continue
        with pytest.raises(RuntimeError) as raised:
            really(module, {"x": x.bfloat16()})
        assert refused == [str(raised.value)]


@pytest.mark.skipif(not hasattr(torch, "_grouped_mm"), reason="this torch has no grouped product")
@pytest.mark.parametrize("columns", [12, 16])
@pytest.mark.parametrize("turned", [False, True])
def test_a_product_that_wants_aligned_rows_is_refused_in_its_own_layout_alone(columns: int, turned: bool) -> None:
    x = torch.ones(columns, 32, dtype=torch.bfloat16).t() if turned else torch.ones(32, columns, dtype=torch.bfloat16)
    given = x, torch.ones(columns, 48, dtype=torch.bfloat16), torch.tensor([8, columns], dtype=torch.int32)
    report = analyzer.trace(lambda *args: torch._grouped_mm(*args), given, plan=Plan(device="cpu"))
    try:
        real = torch._grouped_mm(*given)
    except RuntimeError as error:
        assert (columns, turned) == (12, False)
        assert [f.message for f in report.findings] == [str(error)]
    else:
        assert not report.findings
        assert report.outputs == (str(real.dtype).removeprefix("torch."),)


@pytest.mark.skipif(not hasattr(torch, "_grouped_mm"), reason="this torch has no grouped product")
@pytest.mark.parametrize("width", [16, 4096])
@pytest.mark.parametrize("other", [torch.float32, torch.float16, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16, torch.float64])
def test_a_meta_kernel_that_takes_fewer_dtypes_than_the_real_one(
    dtype: torch.dtype, other: torch.dtype, width: int
) -> None:
    offsets = torch.tensor([4, 8], dtype=torch.int32)
    given = torch.ones(8, width, dtype=dtype), torch.ones(2, width, 512, dtype=other), offsets
    report = analyzer.trace(lambda x, w, offs: torch._grouped_mm(x, w, offs=offs), given, plan=Plan(device="cpu"))
    try:
        real = torch._grouped_mm(*given[:2], offs=given[2])
    except RuntimeError as error:
        assert [f.message for f in report.findings] == [str(error)]
    else:
        assert not report.findings
        assert report.outputs == (str(real.dtype).removeprefix("torch."),)
