"""A checkpoint in float8 keeps its router in a higher precision, and the router's input is bfloat16.

Reported as unslothai/unsloth-zoo#882.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from tests.corpus.case import RAISES, Case, Made


class Router(nn.Module):
    """The experts' scores."""

    def __init__(self, mended: bool) -> None:
        super().__init__()
        self.mended, self.weight = mended, nn.Parameter(torch.randn(4, 8))

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        """Their logits."""
        hidden_states = hidden_states.reshape(-1, 8)
        if self.mended:
            hidden_states = hidden_states.to(self.weight.dtype)
        router_logits = F.linear(hidden_states, self.weight)
        return router_logits.softmax(-1)


class Layer(nn.Module):
    """A router, and experts whose weights are stored in float8."""

    def __init__(self, mended: bool) -> None:
        super().__init__()
        self.gate = Router(mended)
        self.experts = nn.Parameter(torch.randn(4, 8, 8).to(torch.float8_e4m3fn), requires_grad=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Every expert's result, weighted."""
        weights = self.gate(x)
        results = torch.einsum("td,edf->tef", x.reshape(-1, 8), self.experts.to(x.dtype))
        return (results * weights[..., None].to(x.dtype)).sum(1)


def build(mended: bool) -> Made:
    """Hidden states in bfloat16, the router in float32."""
    return Layer(mended), {"x": torch.randn(1, 4, 8).bfloat16()}


CASE = Case(
    report="unslothai/unsloth-zoo#882",
    kind=RAISES,
    build=build,
    cause="parameter gate.weight",
    alone=False,
    fix="the router's input is cast to its weight",
)
