"""A normaliser that is a float32 tensor multiplies half embeddings (google/gemma_pytorch#67)."""

from __future__ import annotations

import torch
from torch import nn

from tests.corpus.case import SILENT, Case, Made


class Model(nn.Module):
    """An embedding scaled by the root of its width, and a head."""

    def __init__(self, mended: bool) -> None:
        super().__init__()
        self.mended, self.embed, self.norm = mended, nn.Embedding(16, 8), nn.LayerNorm(8)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """The scaled embeddings."""
        hidden = self.embed(ids)
        scale = torch.full((1,), 8**0.5, dtype=hidden.dtype if self.mended else torch.float32)  # here
        hidden = hidden * scale
        return hidden @ hidden.mT  # type: ignore[no-any-return]


def build(mended: bool) -> Made:
    """In bfloat16."""
    return Model(mended).bfloat16(), {"ids": torch.tensor([[1, 2, 3]])}


CASE = Case(
    report="google/gemma_pytorch#67",
    kind=SILENT,
    build=build,
    cause="constant here",
    fix="the normaliser in the model's dtype",
    code="DT201",
    severity="warning",
)
