"""What a capture under autocast leaves behind in torch: nothing, also after an error."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from torch.amp import autocast_mode

from analyzer.capture.tensor import CARRIER
from analyzer.ir.plan import Plan
from analyzer.ir.text import print_graph
from analyzer.running.forward import capture, from_callable

X = torch.ones(2, 4)
PLAN = Plan(autocast="cuda:float16", scope="run")


def _state() -> list[Any]:
    names = ("set_autocast_enabled", "set_autocast_dtype", "clear_autocast_cache", "set_autocast_cpu_enabled")
    functions = [getattr(torch, name) for name in names]
    functions += [autocast_mode.autocast.__init__, autocast_mode.autocast.__enter__, autocast_mode._cast]
    devices = [(torch.is_autocast_enabled(d), torch.get_autocast_dtype(d)) for d in ("cpu", "cuda", "xpu", "ipu")]
    depth = torch.autocast_increment_nesting() - 1
    torch.autocast_decrement_nesting()
    kernels = torch._C._dispatch_get_registrations_for_dispatch_key(CARRIER)
    return [functions, devices, depth, torch.is_autocast_cache_enabled(), kernels]


def _real(module: nn.Module) -> list[torch.dtype]:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        x = module(X)
        return [x.dtype, x.exp().dtype, torch.cat([x, X]).dtype, x.softmax(-1).dtype]


def _stops(x: torch.Tensor) -> torch.Tensor:
    torch.autocast("cuda").__enter__()
    x = x @ x.t()
    raise ValueError("as models do")


@pytest.mark.parametrize("fails", [False, True])
def test_the_state_and_the_kernels_are_as_before(fails: bool) -> None:
    module = nn.Linear(4, 4)
    state, real = _state(), _real(module)
    if fails:
        stop = capture(from_callable(_stops, (X,), None), PLAN).stop
        assert stop
        assert "as models do" in stop.words
    else:
        capture(from_callable(module, (X,), None), PLAN)
    assert _state() == state
    assert _real(module) == real


def test_two_captures_give_the_same_text() -> None:
    module = nn.Sequential(nn.Linear(4, 4), nn.LayerNorm(4), nn.Linear(4, 4))
    texts = [print_graph(capture(from_callable(module, (X,), None), PLAN).graph) for _ in range(2)]
    assert texts[0] == texts[1]
    assert "+ autocast" in texts[0]


def test_a_capture_inside_a_region_of_the_caller_is_the_same_and_leaves_it() -> None:
    module = nn.Linear(4, 4)

    def text() -> str:
        return print_graph(capture(from_callable(module, (X,), None), Plan()).graph)

    alone = text()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        state = _state()
        inside = text()
        assert _state() == state
        assert module(X).dtype == torch.bfloat16
    assert inside == alone
    assert "bf16" not in inside
