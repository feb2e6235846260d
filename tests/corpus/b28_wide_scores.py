"""Sine and cosine are float32, so queries and keys become float32, and the scores are a product in float32.

The module casts the weights back, so that its result does not show it. Reported as
huggingface/pytorch-image-models#2794.
"""

from __future__ import annotations

import torch
from torch import nn

from tests.corpus.case import SILENT, Case, Made


def _turned(x: torch.Tensor) -> torch.Tensor:
    return torch.stack([-x[..., 1::2], x[..., ::2]], -1).reshape(x.shape)


class Attention(nn.Module):
    """One head with rotary positions."""

    def __init__(self, mended: bool) -> None:
        super().__init__()
        self.mended, self.qkv = mended, nn.Linear(8, 24)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """What was attended to, and the scores."""
        q, k, v = self.qkv(x).chunk(3, -1)
        angles = torch.arange(x.shape[1], dtype=torch.float32)[:, None] * 0.1 ** torch.arange(8)
        sin, cos = (t.to(x.dtype) if self.mended else t for t in (angles.sin(), angles.cos()))
        q, k = (t * cos + _turned(t) * sin for t in (q, k))  # here
        scores = q @ k.transpose(-2, -1)
        return scores.softmax(-1).to(v.dtype) @ v, scores


def build(mended: bool) -> Made:
    """In float16."""
    return Attention(mended).half(), {"x": torch.ones(1, 4, 8).half()}


CASE = Case(
    report="huggingface/pytorch-image-models#2794",
    kind=SILENT,
    build=build,
    code="DT201",
    severity="warning",
    cause="call here",
    fix="sine and cosine are cast to the dtype of the queries",
)
