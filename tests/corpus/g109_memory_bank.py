"""A video model keeps its memory in bfloat16 whatever the model's dtype, so the second frame fails in float16.

Reported as huggingface/transformers#43268.
"""

from __future__ import annotations

import torch
from torch import nn

from tests.corpus.case import RAISES, Case, Made


class Video(nn.Module):
    """Frames encoded one by one, each with the memory of the one before."""

    def __init__(self, mended: bool) -> None:
        super().__init__()
        self.mended, self.encode, self.recall = mended, nn.Linear(8, 8), nn.Linear(8, 8)

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        """Two frames."""
        memory = None
        for frame in frames:
            hidden = self.encode(frame)
            hidden = hidden if memory is None else hidden + self.recall(memory)
            memory = hidden.to(hidden.dtype if self.mended else torch.bfloat16)  # here
        return hidden  # type: ignore[no-any-return]


def build(mended: bool) -> Made:
    """In float16."""
    return Video(mended).half(), {"frames": torch.ones(2, 4, 8, dtype=torch.float16)}


CASE = Case(
    report="huggingface/transformers#43268",
    kind=RAISES,
    build=build,
    cause="cast here",
    fix="the memory in the session's dtype",
)
