"""A model loads in the half of its checkpoint, and the feature extractor gives float32.

Reported as huggingface/transformers#47805.
"""

from __future__ import annotations

import torch
from torch import nn

from tests.corpus.case import RAISES, Case, Made


class Encoder(nn.Module):
    """Two convolutions and a layer."""

    def __init__(self, mended: bool) -> None:
        super().__init__()
        self.mended = mended
        self.conv1, self.conv2 = nn.Conv1d(4, 8, 3, padding=1), nn.Conv1d(8, 8, 3, stride=2, padding=1)
        self.out = nn.Linear(8, 8)

    def forward(self, input_features: torch.Tensor) -> torch.Tensor:
        """Hidden states."""
        if self.mended:
            input_features = input_features.to(self.conv1.weight.dtype)
        hidden = nn.functional.gelu(self.conv1(input_features))
        hidden = nn.functional.gelu(self.conv2(hidden))
        return self.out(hidden.mT)  # type: ignore[no-any-return]


def build(mended: bool) -> Made:
    """In half, features in float32."""
    return Encoder(mended).half(), {"input_features": torch.randn(1, 4, 8)}


CASE = Case(
    report="huggingface/transformers#47805",
    kind=RAISES,
    build=build,
    cause="input input_features",
    fix="features are cast to the convolution's dtype",
)
