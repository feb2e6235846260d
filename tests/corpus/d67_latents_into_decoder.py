"""Float32 latents go into a bfloat16 decoder (huggingface/diffusers#8391)."""

from __future__ import annotations

import torch
from torch import nn

from tests.corpus.case import RAISES, Case, Made


class Decoder(nn.Module):
    """Latents to pixels."""

    def __init__(self, mended: bool) -> None:
        super().__init__()
        self.mended, self.conv = mended, nn.Conv2d(4, 3, 3, padding=1)

    def forward(self, latents: torch.Tensor) -> torch.Tensor:
        """Rescale and decode."""
        latents = latents / 0.18
        latents = latents.to(self.conv.weight.dtype) if self.mended else latents
        return self.conv(latents)  # type: ignore[no-any-return]


def build(mended: bool) -> Made:
    """The decoder in bfloat16."""
    return Decoder(mended).bfloat16(), {"latents": torch.ones(1, 4, 4, 4)}


CASE = Case(
    report="huggingface/diffusers#8391",
    kind=RAISES,
    build=build,
    cause="input latents",
    fix="the latents are cast to the decoder's dtype",
)
