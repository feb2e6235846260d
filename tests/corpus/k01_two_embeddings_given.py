"""Embeddings of the prompt and their pooled form are both float32, the transformer is bfloat16.

Reported as huggingface/diffusers#11050.
"""

from __future__ import annotations

import torch
from torch import nn

from tests.corpus.case import RAISES, Case, Made


class Transformer(nn.Module):
    """Takes the text twice: as a sequence, and pooled beside the step."""

    def __init__(self) -> None:
        super().__init__()
        self.context, self.pooled, self.out = nn.Linear(8, 8), nn.Linear(4, 8), nn.Linear(8, 8)

    def forward(
        self, latents: torch.Tensor, prompt_embeds: torch.Tensor, pooled_projections: torch.Tensor
    ) -> torch.Tensor:
        """What the noise is."""
        text = self.context(prompt_embeds).mean(1)
        return self.out(latents + text + self.pooled(pooled_projections))  # type: ignore[no-any-return]


def build(mended: bool) -> Made:
    """In bfloat16, and the text too when mended."""
    text = {"prompt_embeds": torch.randn(1, 3, 8), "pooled_projections": torch.randn(1, 4)}
    given = {name: one.bfloat16() if mended else one for name, one in text.items()}
    return Transformer().bfloat16(), {"latents": torch.randn(1, 8).bfloat16(), **given}


CASE = Case(
    report="huggingface/diffusers#11050",
    kind=RAISES,
    build=build,
    cause="input prompt_embeds",
    errors=2,
    fix="both are cast to bfloat16",
)
