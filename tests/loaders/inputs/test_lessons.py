"""Every lesson, on an error that torch or a model really raises: after the change it does not raise."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from analyzer.capture.run import capture
from analyzer.loaders.inputs.facts import Facts
from analyzer.loaders.inputs.learning import learned
from analyzer.loaders.inputs.lessons import LESSONS, changes
from analyzer.plan import Plan
from tests.loaders.inputs.own import Config, loaded_with


class Named(nn.Module):
    """Says which argument it misses."""

    def forward(self, input_ids: Any = None, bbox: Any = None) -> Any:
        """bbox (`torch.LongTensor` of shape `(batch_size, sequence_length, 4)`): boxes."""
        if bbox is None:
            raise ValueError("You have to specify bbox")
        return bbox[..., 0] + input_ids


class Unnamed(nn.Module):
    """Reads something of None."""

    def forward(self, input_ids: Any, decoder_input_ids: Any = None) -> Any:
        length = decoder_input_ids.shape[1]
        return input_ids[:, :length]


class Tokens(nn.Module):
    """Wants a token for each feature of an image, in the words of transformers."""

    def forward(self, input_ids: Any, attention_mask: Any = None, pixel_values: Any = None) -> Any:
        count, features = int((input_ids == 7).sum()), 5
        if count != features:
            raise ValueError(f"Image features and image tokens do not match, tokens: {count}, features: {features}")
        return input_ids * attention_mask


class Calls(nn.Module):
    """Calls a function of torch on its one float input."""

    def __init__(self, call: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.call = call

    def forward(self, x: Any, use_cache: Any = True) -> Any:
        return self.call(x)


class Indexes(nn.Module):
    """Looks its input up in a table."""

    def forward(self, input_ids: Any) -> Any:
        return F.embedding(input_ids, torch.zeros(4, 8))


def _three(x: torch.Tensor) -> torch.Tensor:
    batch, frames, width = x.shape
    return x.view(batch * frames, width)


class Caching(nn.Module):
    """Stops where a cache is used."""

    def forward(self, input_ids: Any, use_cache: Any = True) -> Any:
        if use_cache:
            raise ValueError("`get_seq_length` can only be called on Attention layers")
        return input_ids + 1


class Computes(nn.Module):
    """Works an argument out that it was not given, and cannot."""

    def forward(self, input_ids: Any, position_ids: Any = None) -> Any:
        if position_ids is None:
            position_ids = self._positions(
                input_ids,
            )
        return input_ids + position_ids

    def _positions(self, ids: Any) -> Any:
        return ids * self.there_is_no_such_thing


class Refuses(nn.Module):
    """Says no, but not for want of what."""

    def forward(self, input_ids: Any, lang_ids: Any = None) -> Any:
        """lang_ids (`torch.LongTensor` of shape `(batch_size, sequence_length)`): languages."""
        if lang_ids is None:
            raise ValueError("Unknown language")
        return input_ids + lang_ids


class Gives(nn.Module):
    """Has a value only where another argument is given."""

    def forward(self, input_ids: Any, bbox: Any = None, cache: Any = None) -> Any:
        """bbox (`torch.LongTensor` of shape `(batch_size, sequence_length)`): boxes."""
        if bbox is not None and cache is None:
            cache = bbox + 1
        return input_ids + cache.sum()


class Square(nn.Module):
    """Takes images of one size, and a mask with them."""

    def forward(self, pixel_values: Any, pixel_mask: Any) -> Any:
        height, width = pixel_values.shape[-2:]
        if (height, width) != (16, 16):
            raise ValueError(f"Image size ({height}*{width}) doesn't match model (16*16).")
        return pixel_values * pixel_mask[:, None]


class Masks(nn.Module):
    """Chooses where a mask says."""

    def forward(self, x: Any, x_mask: Any) -> Any:
        return torch.where(x_mask, x, x + 1)


X = torch.zeros
IDS = X(1, 4).long()
CASES: dict[str, tuple[nn.Module, dict[str, Any]]] = {
    "named": (Named(), {"input_ids": X(1, 16).long()}),
    "none": (Unnamed(), {"input_ids": X(1, 16).long()}),
    "tokens": (Tokens(), {"input_ids": IDS, "attention_mask": IDS, "pixel_values": X(1, 3, 4, 4)}),
    "sizes": (Calls(lambda x: F.linear(x, X(8, 32))), {"x": X(1, 5, 16)}),
    "sizes of what was made of it": (Calls(lambda x: F.linear(x.repeat(1, 1, 4), X(8, 64))), {"x": X(1, 5, 8)}),
    "sizes of what is left of it": (Calls(lambda x: F.linear(x[..., 2:], X(8, 32))), {"x": X(1, 5, 32)}),
    "viewed": (Calls(lambda x: x.view(-1, 3, 2, 14, 14)), {"x": X(16, 100)}),
    "channels": (Calls(lambda x: F.conv2d(x, X(8, 1, 3, 3))), {"x": X(1, 4, 16, 16)}),
    "rank of patches that lie flat": (Calls(nn.Conv2d(3, 8, 4)), {"x": X(6, 48)}),
    "channels that come last": (Calls(nn.Conv1d(8, 4, 3)), {"x": X(1, 5, 8)}),
    "booleans": (Masks(), {"x": X(1, 3), "x_mask": X(1, 3).long()}),
    "ones": (Calls(lambda x: torch.arange(6) // int(x.sum())), {"x": X(1, 3).long()}),
    "larger": (Calls(lambda x: F.conv2d(x, X(8, 3, 16, 16))), {"x": X(1, 3, 8, 8)}),
    "rank": (Calls(_three), {"x": X(4, 5)}),
    "integers": (Indexes(), {"input_ids": X(1, 3)}),
    "within": (Indexes(), {"input_ids": torch.full((1, 3), 9)}),
    "floats": (Calls(lambda x: F.conv2d(x, X(8, 3, 2, 2), X(8))), {"x": X(1, 3, 8, 8).long()}),
    "none where another gives it": (Gives(), {"input_ids": X(1, 16).long()}),
    "guarded": (Refuses(), {"input_ids": X(1, 16).long()}),
    "computing": (Computes(), {"input_ids": X(1, 16).long()}),
    "sizes of all that are as large": (Square(), {"pixel_values": X(1, 3, 8, 8), "pixel_mask": X(1, 8, 8).long()}),
    "no_cache": (Caching(), {"input_ids": X(1, 3).long()}),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_the_real_error_teaches_what_helps(name: str) -> None:
    module, inputs = CASES[name]
    with pytest.raises(Exception) as raised:  # any: whatever the real call says
        module(**inputs)
    facts = Facts(module, Config(), torch.float32)
    assert any(_runs(module, {**inputs, **change}) for change in changes(raised.value, facts, inputs))


def _runs(module: nn.Module, inputs: dict[str, Any]) -> bool:
    try:
        module(**inputs)
    except Exception:
        return False
    return True


@pytest.mark.parametrize("name", CASES)
def test_a_capture_learns_it(name: str) -> None:
    loaded = loaded_with(*CASES[name])
    assert capture(loaded, Plan(device="cpu")).stop is not None
    again, captured = learned(loaded, Plan(device="cpu"))
    assert captured.stop is None
    module, _ = CASES[name]
    module(**again.inputs)
    assert [note for note in again.assumptions if note.what.startswith("input ")]


def test_every_lesson_has_a_case() -> None:
    assert {lesson.__name__.lstrip("_") for _, lesson in LESSONS} == {name.split()[0] for name in CASES}


def test_inputs_of_a_person_stay() -> None:
    module, inputs = CASES["named"]
    loaded = loaded_with(module, inputs, invented="")
    assert learned(loaded, Plan(device="cpu"))[0] is loaded


def test_what_nothing_helps_keeps_its_first_inputs() -> None:
    class Stubborn(nn.Module):
        def forward(self, input_ids: Any) -> Any:
            raise ValueError("no")

    loaded = loaded_with(Stubborn(), {"input_ids": X(1, 3).long()})
    assert learned(loaded, Plan(device="cpu"))[0] is loaded
