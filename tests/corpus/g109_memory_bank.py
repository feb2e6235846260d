"""A video model keeps its memory in bfloat16 whatever the model's dtype, so the second frame fails in float16.

Reported as huggingface/transformers#43268.
"""

from __future__ import annotations

import torch
from torch import nn

from tests.corpus.case import RAISES, Case, Made


class Video(nn.Module):
    """A frame a call, each with the memory of the one before."""

    def __init__(self, mended: bool) -> None:
        super().__init__()
        self.mended, self.encode, self.recall = mended, nn.Linear(8, 8), nn.Linear(8, 8)
        self.memory: torch.Tensor | None = None

    def forward(self, frame: torch.Tensor) -> torch.Tensor:
        """One frame."""
        hidden = self.encode(frame)
        hidden = hidden if self.memory is None else hidden + self.recall(self.memory)
        self.memory = hidden.to(hidden.dtype if self.mended else torch.bfloat16)  # here
        return hidden  # type: ignore[no-any-return]


def build(mended: bool) -> Made:
    """In float16."""
    return Video(mended).half(), {"frame": torch.ones(4, 8, dtype=torch.float16)}


CASE = Case(
    report="huggingface/transformers#43268",
    kind=RAISES,
    build=build,
    steps="forward,forward",
    cause="cast here",
    fix="the memory in the session's dtype",
)
