"""Latents in half go into a decoder in float32, whose group norm refuses them on CUDA.

Reported as huggingface/diffusers#12847.
"""

from __future__ import annotations

import torch
from torch import nn

from analyzer.ir.plan import Plan
from tests.corpus.case import RAISES, Case, Made


class Decoder(nn.Module):
    """A norm over the latents, and a layer."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.conv = nn.GroupNorm(2, 4), nn.Conv2d(4, 3, 1)

    def forward(self, latents: torch.Tensor) -> torch.Tensor:
        """An image."""
        return self.conv(self.norm(latents))  # type: ignore[no-any-return]


def build(mended: bool) -> Made:
    """The decoder in float32, the latents in half unless mended."""
    latents = torch.randn(1, 4, 4, 4)
    return Decoder(), {"latents": latents if mended else latents.half()}


CASE = Case(
    report="huggingface/diffusers#12847",
    kind=RAISES,
    build=build,
    cause="input latents",
    fix="latents in the decoder's dtype",
    plan=Plan(),
    recorded=True,
)
