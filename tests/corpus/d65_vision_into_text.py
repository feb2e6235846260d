"""Float32 vision features are written into bfloat16 embeddings by index (microsoft/Magma#16)."""

from __future__ import annotations

import torch
from torch import nn

from tests.corpus.case import RAISES, Case, Made


class Fusion(nn.Module):
    """Image features put among text embeddings."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(16, 8)

    def forward(self, ids: torch.Tensor, features: torch.Tensor) -> torch.Tensor:
        """Fill the image's places."""
        embeds = self.embed(ids).clone()
        embeds[ids == 0] = features
        return embeds  # type: ignore[no-any-return]


def build(mended: bool) -> Made:
    """In bfloat16."""
    features = torch.ones(2, 8, dtype=torch.bfloat16 if mended else torch.float32)
    return Fusion().bfloat16(), {"ids": torch.tensor([[0, 0, 3]]), "features": features}


CASE = Case(
    report="microsoft/Magma#16",
    kind=RAISES,
    build=build,
    cause="input features",
    fix="the features in the embeddings' dtype",
)
