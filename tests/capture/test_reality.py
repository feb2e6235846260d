"""What a capture says against what the real kernels do: every operation and dtype, and every refusal."""

from __future__ import annotations

import traceback

import pytest
import torch

from analyzer.ir.plan import Plan
from analyzer.propagate import disagreements, propagate
from tests.capture.models import MODELS, make
from tests.capture.real import really, traced


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
@pytest.mark.parametrize("name", MODELS)
def test_every_dtype_is_the_real_one(name: str, dtype: torch.dtype) -> None:
    module, inputs = make(name, dtype)
    captured, ops = traced(module, inputs)
    assert not [n for n in captured.graph if n.refused]
    if name != "mixtral":  # its routing, and so its shapes and calls, depend on weights
        assert ops == really(module, inputs)
    assert not list(disagreements(propagate(captured.graph, Plan(device="cpu"))))


@pytest.mark.parametrize("name", MODELS)
def test_one_layer_left_in_float32_is_refused_in_the_kernels_words_at_the_real_line(name: str) -> None:
    module, inputs = make(name, torch.bfloat16)
    linears = [m for n, m in module.named_modules() if isinstance(m, torch.nn.Linear) and "1" in n]
    linears[0].to(torch.float32)
    captured, _ = traced(module, inputs)
    refused = [n for n in captured.graph if n.refused]
    with pytest.raises(RuntimeError) as raised:
        really(module, inputs)
    frames = [f for f in traceback.extract_tb(raised.value.__traceback__) if "/torch/" not in f.filename]
    line = [f for f in frames if "tests/capture" not in f.filename][-1]
    assert refused[0].refused == str(raised.value).splitlines()[0]
    assert line.filename.endswith(refused[0].place.file)
    assert refused[0].place.line == line.lineno
