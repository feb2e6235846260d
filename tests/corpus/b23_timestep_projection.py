"""A timestep embedding without weights is always float32 and reaches a linear in half (huggingface/diffusers#3137)."""

from __future__ import annotations

import torch
from torch import nn

from tests.corpus.case import RAISES, Case, Made


class Embedder(nn.Module):
    """Sinusoids and the linear behind them."""

    def __init__(self, mended: bool) -> None:
        super().__init__()
        self.mended, self.linear = mended, nn.Linear(8, 8)

    def forward(self, sample: torch.Tensor, timestep: torch.Tensor) -> torch.Tensor:
        """Project the timestep."""
        angles = timestep[:, None].float() * torch.arange(4).neg().exp()  # here
        table = torch.cat([angles.sin(), angles.cos()], dim=-1)
        table = table.to(dtype=sample.dtype) if self.mended else table
        return sample + self.linear(table)  # type: ignore[no-any-return]


def build(mended: bool) -> Made:
    """In float16."""
    sample = torch.ones(1, 8, dtype=torch.float16)
    return Embedder(mended).half(), {"sample": sample, "timestep": torch.tensor([7])}


CASE = Case(
    report="huggingface/diffusers#3137",
    kind=RAISES,
    build=build,
    cause="cast here",
    fix="the table is cast to the sample's dtype",
)
