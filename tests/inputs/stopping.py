"""Modules that stop on the inputs that they are given, each in its own way."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn


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


class Whole(nn.Module):
    """Wants one token for a whole image, in the words of transformers up to 4.47."""

    def forward(self, input_ids: Any, attention_mask: Any = None, pixel_values: Any = None) -> Any:
        count, images = (input_ids == 7).sum(), pixel_values.shape[0]
        if count != images:
            raise ValueError(
                f"The input provided to the model are wrong. The number of image tokens is {count} while"
                f" the number of image given to the model is {images}. This prevents correct indexing."
            )
        return input_ids * attention_mask


class Calls(nn.Module):
    """Calls a function of torch on its one float input."""

    def __init__(self, call: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.call = call

    def forward(self, x: Any, use_cache: Any = True) -> Any:
        return self.call(x)


class Searches(nn.Module):
    """Looks for a token in the list that it makes of a text."""

    def forward(self, input_ids: Any) -> Any:
        return input_ids[:, input_ids[0].tolist().index(9) :].float() + 1


class Lists(nn.Module):
    """Takes apart the shape of each image in a list."""

    def forward(self, images: Any) -> Any:
        batch, _channels, height, width = images[0].shape
        return images[0].sum(1).view(batch, height, width) + 1


class Counts(nn.Module):
    """Asserts how many dimensions its input has."""

    def forward(self, images: Any) -> Any:
        assert images.ndim == 5
        return images.flatten(0, 1) + 1


class Positions(nn.Module):
    """Makes positions itself, with one dimension more than it can use."""

    def forward(self, input_ids: Any, position_ids: Any = None) -> Any:
        if position_ids is None:
            position_ids = torch.arange(input_ids.shape[1])[None]
        return torch.cat([position_ids[None].float(), input_ids.float()])


class Indexes(nn.Module):
    """Looks its input up in a table."""

    def forward(self, input_ids: Any) -> Any:
        return F.embedding(input_ids, torch.zeros(4, 8))


def three(x: torch.Tensor) -> torch.Tensor:
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


class Places(nn.Module):
    """Puts the features of an image where the text has a token for them, whose id it keeps."""

    token_id = 9

    def forward(self, input_ids: Any, pixel_values: Any, attention_mask: Any) -> Any:
        states = torch.zeros(*input_ids.shape, 3).reshape(-1, 3)
        ids = input_ids.reshape(-1)
        selected = ids == self.token_id
        states[selected] = pixel_values.flatten(2)[0].T + 1
        return states * attention_mask.reshape(-1, 1)


class PlacesByKind(nn.Module):
    """Puts them where another input says that the token is of another kind."""

    def forward(self, input_ids: Any, pixel_values: Any, token_type_ids: Any) -> Any:
        states = torch.zeros(*input_ids.shape, 3)
        states[token_type_ids == 1] = pixel_values.flatten(2)[0].T + 1
        return states


class PlacesByMask(nn.Module):
    """Puts them where a mask says so."""

    def forward(self, input_ids: Any, pixel_values: Any, seen_mask: Any) -> Any:
        states = torch.zeros(*input_ids.shape, 3)
        states[seen_mask] = pixel_values.flatten(2)[0].T + 1
        return states


class Several(nn.Module):
    """Wants several at once, each a number for an example."""

    def forward(
        self, input_values: Any, audio_start_idx: Any = None, audio_token_len: Any = None, audio_lens: Any = None
    ) -> Any:
        assert audio_start_idx is not None and audio_token_len is not None and audio_lens is not None, (
            "lengths must be provided"
        )
        start, length = int(audio_start_idx[0]), int(audio_token_len[0])
        return input_values[:, : int(audio_lens[0])][:, start : start + length].sum() / length


class Wants(nn.Module):
    """Asserts without a word that something is given."""

    def forward(self, input_ids: Any, spans_idx: Any = None) -> Any:
        assert spans_idx is not None
        return input_ids + spans_idx


class Asserts(nn.Module):
    """Asserts that something has a shape of its own."""

    def forward(self, input_ids: Any, spans_idx: Any) -> Any:
        batch = input_ids.shape[0]
        assert spans_idx.shape == (batch, 3, 2)
        return input_ids[0][spans_idx]


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


class Images(nn.Module):
    """Takes as many images as its mask has columns, in a statement of several lines."""

    def forward(self, x: Any, image_mask: Any) -> Any:
        count = image_mask.size(1)
        return (
            x
            .view(-1, count * 4, 8)
            .sum(1)
        )  # fmt: skip


class Crosses(nn.Module):
    """Takes states as wide as it is not itself."""

    def forward(self, x: Any, states: Any) -> Any:
        return F.linear(x, torch.zeros(8, 8)) + F.linear(states, torch.zeros(8, 32))


class Hidden(nn.Module):
    """Takes what came out of another module, though it is called values."""

    def forward(self, values: Any, values_mask: Any) -> Any:
        return F.layer_norm(values, (8,)) * values_mask[..., None]


class Coded(nn.Module):
    """Has a book of codes for each of its offsets."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("offsets", torch.arange(3))

    def forward(self, input_ids: Any) -> Any:
        found = F.embedding(input_ids + self.offsets, torch.zeros(64, 8))
        return F.linear(found.sum(2), torch.zeros(8, 8))


class Speaks(nn.Module):
    """Wants one language for each text, whatever its documentation says."""

    def forward(self, input_ids: Any, lang_ids: Any = None) -> Any:
        """lang_ids (`torch.LongTensor` of shape `(batch_size, sequence_length)`): languages."""
        if lang_ids is None:
            raise ValueError("Unknown language")
        return input_ids + lang_ids.repeat(len(input_ids))[:, None]
