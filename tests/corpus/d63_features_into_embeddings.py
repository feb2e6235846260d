"""Under autocast embeddings stay float32 and the projector gives bfloat16, so masked_scatter refuses.

Reported as huggingface/transformers#47672.
"""

from __future__ import annotations

import torch
from torch import nn

from analyzer.ir.plan import Plan
from tests.corpus.case import RAISES, Case, Made


class Fusion(nn.Module):
    """Image features put among text embeddings."""

    def __init__(self, mended: bool) -> None:
        super().__init__()
        self.mended, self.embed, self.projector = mended, nn.Embedding(16, 8), nn.Linear(4, 8)

    def forward(self, ids: torch.Tensor, features: torch.Tensor) -> torch.Tensor:
        """Fill the image's places."""
        embeds, image = self.embed(ids), self.projector(features)  # here
        image = image.to(embeds.dtype) if self.mended else image
        return embeds.masked_scatter((ids == 0)[..., None], image)  # type: ignore[no-any-return]


def build(mended: bool) -> Made:
    """In float32, as training under autocast has it."""
    return Fusion(mended), {"ids": torch.tensor([[0, 0, 3]]), "features": torch.ones(2, 4)}


CASE = Case(
    report="huggingface/transformers#47672",
    kind=RAISES,
    build=build,
    cause="autocast here",
    fix="the features are cast to the embeddings' dtype",
    plan=Plan(device="cpu", autocast="cpu:bfloat16", scope="run"),
)
