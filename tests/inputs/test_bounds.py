"""What an error may ask for and never gets: inputs that no machine would take."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from analyzer.inputs.learning import learned
from analyzer.inputs.sizes import _resized
from analyzer.ir.plan import Plan
from tests.inputs.own import loaded_with

LENGTHS: list[int] = []
"""Of every sequence that was tried: what a module keeps is taken from it after a capture."""


class Elements(nn.Module):
    """Counts the elements of its image features where the features are meant, as DeepSeek-VL of transformers 4.57."""

    def forward(self, input_ids: Any, pixel_values: Any) -> Any:
        """Compare each token with each other one."""
        tokens, features = int((input_ids == 7).sum()), 4 << 16
        LENGTHS.append(input_ids.shape[1])
        scores = input_ids[:, :, None] * input_ids[:, None, :]
        if tokens != features:
            raise ValueError(f"Image features and image tokens do not match: tokens: {tokens}, features {features}")
        return pixel_values.sum() + scores.sum()


def test_a_sequence_without_end_is_never_made() -> None:
    resource = pytest.importorskip("resource", reason="POSIX alone tells the memory of a process")
    module, before = Elements(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    inputs = {"input_ids": torch.zeros(1, 4, dtype=torch.long), "pixel_values": torch.zeros(1, 3, 4, 4)}
    _, captured = learned(loaded_with(module, inputs), Plan(device="cpu"))
    assert captured.stop is not None and "do not match" in captured.stop.words
    assert max(LENGTHS) <= 1 << 16
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 1 << 20  # KiB


def test_a_sequence_keeps_its_ends() -> None:
    row = torch.tensor([[5, 6, 7, 8]])
    for size, wanted in ((1, [5]), (2, [5, 8]), (3, [5, 6, 8]), (6, [5, 5, 6, 6, 7, 8])):
        assert _resized(row, [1], size).tolist() == [wanted]
