"""Code under `torch.inference_mode` is captured as it runs."""

from __future__ import annotations

from contextlib import suppress

import pytest
import torch
from torch import nn

import analyzer
from analyzer.ir.plan import Plan
from tests.capture.real import watched


class Decorated(nn.Module):
    """Computes on its buffers, which were not made for inference."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("places", torch.arange(6))
        self.register_buffer("frequencies", torch.ones(6))
        self.proj = nn.Linear(6, 6, dtype=torch.bfloat16)

    @torch.inference_mode()
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        table = self.places[..., None].float() * self.frequencies.to(torch.float32)
        with torch.inference_mode(False):
            shifted = x + table.view(36)[:6].to(x.dtype)
        return self.proj(shifted)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_the_operations_and_the_verdict_are_those_of_a_real_run(dtype: torch.dtype) -> None:
    module, x = Decorated(), torch.ones(2, 6, dtype=dtype)
    words = []
    try:
        assert module(x).dtype == dtype
    except RuntimeError as error:
        words = [str(error)]
    with watched() as writer, torch.no_grad(), suppress(RuntimeError):  # inference mode shows some of them unresolved
        Decorated.forward.__wrapped__(module, x)
    report = analyzer.trace(module, (x,), plan=Plan(device="cpu"))
    assert [finding.message for finding in report.findings if finding.severity == "error"] == words
    assert [node.op for node in report.graph.ops()][: len(writer.seen)] == [op for op, _ in writer.seen]
    assert not torch.is_inference_mode_enabled()
