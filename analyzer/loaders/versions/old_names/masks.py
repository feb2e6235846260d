"""`transformers.modeling_attn_mask_utils` for releases that have it no more: 4-d attention masks out of 2-d ones.

A mask holds 0 where a token is attended to and the lowest value of its dtype elsewhere, as it always did.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch


class AttentionMaskConverter:
    """Makes masks of shape [batch, 1, queries, keys] from masks of shape [batch, keys]."""

    def __init__(self, is_causal: bool, sliding_window: int | None = None) -> None:
        if sliding_window is not None and sliding_window <= 0:
            raise ValueError(f"sliding_window must be positive, not {sliding_window}")
        self.is_causal, self.sliding_window = is_causal, sliding_window

    def to_causal_4d(
        self, batch_size: int, query_length: int, key_value_length: int, dtype: torch.dtype, device: object = "cpu"
    ) -> torch.Tensor | None:
        """A mask of the future alone; None where nothing is hidden."""
        if not self.is_causal:
            raise ValueError("a causal mask needs is_causal=True")
        if query_length <= 1 and self.sliding_window is None:
            return None
        past = key_value_length - query_length
        return self._make_causal_mask((batch_size, query_length), dtype, device, past, self.sliding_window)

    def to_4d(
        self,
        attention_mask_2d: torch.Tensor,
        query_length: int,
        dtype: torch.dtype,
        key_value_length: int | None = None,
    ) -> torch.Tensor:
        """A mask of what the 2-d one hides, and of the future if this is causal."""
        hidden = self._expand_mask(attention_mask_2d, dtype, tgt_len=query_length)
        if not self.is_causal or (query_length <= 1 and self.sliding_window is None):
            return hidden
        if key_value_length is None:
            raise ValueError("a causal mask needs key_value_length")
        causal = self.to_causal_4d(
            attention_mask_2d.shape[0], query_length, key_value_length, dtype, attention_mask_2d.device
        )
        assert causal is not None
        return causal.masked_fill(hidden.bool(), torch.finfo(dtype).min)

    @staticmethod
    def _make_causal_mask(
        input_ids_shape: Sequence[int], dtype: torch.dtype, device: Any, past_key_values_length: int = 0,
        sliding_window: int | None = None,
    ) -> torch.Tensor:  # fmt: skip
        batch, queries = input_ids_shape
        lowest = torch.finfo(dtype).min
        mask = torch.full((queries, queries), lowest, device=device)
        places = torch.arange(queries, device=device)
        mask.masked_fill_(places < (places + 1).view(queries, 1), 0)
        mask = mask.to(dtype)
        if past_key_values_length > 0:
            past = torch.zeros(queries, past_key_values_length, dtype=dtype, device=device)
            mask = torch.cat([past, mask], dim=-1)
        if sliding_window is not None:
            far = past_key_values_length - sliding_window - 1
            mask.masked_fill_(torch.tril(torch.ones_like(mask, dtype=torch.bool), diagonal=far), lowest)
        return mask[None, None].expand(batch, 1, queries, queries + past_key_values_length)

    @staticmethod
    def _expand_mask(mask: torch.Tensor, dtype: torch.dtype, tgt_len: int | None = None) -> torch.Tensor:
        batch, keys = mask.shape
        wide = mask[:, None, None, :].expand(batch, 1, tgt_len if tgt_len is not None else keys, keys).to(dtype)
        inverted = 1.0 - wide
        return inverted.masked_fill(inverted.to(torch.bool), torch.finfo(dtype).min)

    @staticmethod
    def _unmask_unattended(expanded_mask: torch.Tensor, min_dtype: float) -> torch.Tensor:
        return expanded_mask.mul(~torch.all(expanded_mask == min_dtype, dim=-1, keepdim=True))

    @staticmethod
    def _ignore_causal_mask_sdpa(
        attention_mask: torch.Tensor | None, inputs_embeds: torch.Tensor, past_key_values_length: int,
        sliding_window: int | None = None, is_training: bool = False,
    ) -> bool:  # fmt: skip
        queries = inputs_embeds.shape[1]
        keys = queries + past_key_values_length
        if attention_mask is not None and (attention_mask.dim() == 4 or not bool(torch.all(attention_mask == 1))):
            return False
        return (queries == 1 or keys == queries) and (sliding_window is None or keys < sliding_window)


def _prepare_4d_causal_attention_mask(
    attention_mask: torch.Tensor | None, input_shape: Sequence[int], inputs_embeds: torch.Tensor,
    past_key_values_length: int, sliding_window: int | None = None,
) -> torch.Tensor | None:  # fmt: skip
    converter = AttentionMaskConverter(True, sliding_window)
    queries, dtype = input_shape[-1], inputs_embeds.dtype
    keys = queries + past_key_values_length
    if attention_mask is None:
        return converter.to_causal_4d(input_shape[0], queries, keys, dtype, inputs_embeds.device)
    if attention_mask.dim() == 2:
        return converter.to_4d(attention_mask, queries, dtype, keys)
    wanted = (input_shape[0], 1, queries, keys)
    if tuple(attention_mask.shape) != wanted:
        raise ValueError(f"an attention mask of shape {tuple(attention_mask.shape)} in the place of {wanted}")
    inverted = 1.0 - attention_mask
    return inverted.masked_fill(inverted.to(torch.bool), torch.finfo(dtype).min)


def _prepare_4d_causal_attention_mask_for_sdpa(
    attention_mask: torch.Tensor | None, input_shape: Sequence[int], inputs_embeds: torch.Tensor,
    past_key_values_length: int, sliding_window: int | None = None,
) -> torch.Tensor | None:  # fmt: skip
    if AttentionMaskConverter._ignore_causal_mask_sdpa(
        attention_mask, inputs_embeds, past_key_values_length, sliding_window
    ):
        return None
    if attention_mask is not None and attention_mask.dim() == 4:
        return attention_mask
    return _prepare_4d_causal_attention_mask(
        attention_mask, input_shape, inputs_embeds, past_key_values_length, sliding_window
    )


def _prepare_4d_attention_mask(mask: torch.Tensor, dtype: torch.dtype, tgt_len: int | None = None) -> torch.Tensor:
    return AttentionMaskConverter._expand_mask(mask, dtype, tgt_len)


def _prepare_4d_attention_mask_for_sdpa(
    mask: torch.Tensor, dtype: torch.dtype, tgt_len: int | None = None
) -> torch.Tensor | None:
    return None if bool(torch.all(mask == 1)) else AttentionMaskConverter._expand_mask(mask, dtype, tgt_len)


def _create_4d_causal_attention_mask(
    input_shape: Sequence[int], dtype: torch.dtype, device: object, past_key_values_length: int = 0,
    sliding_window: int | None = None,
) -> torch.Tensor | None:  # fmt: skip
    converter = AttentionMaskConverter(True, sliding_window)
    keys = past_key_values_length + input_shape[-1]
    return converter.to_causal_4d(input_shape[0], input_shape[-1], keys, dtype, device)


def _prepare_4d_causal_attention_mask_with_cache_position(
    attention_mask: torch.Tensor | None, sequence_length: int, target_length: int, dtype: torch.dtype,
    device: Any = None, min_dtype: float | None = None, cache_position: torch.Tensor | None = None,
    batch_size: int = 1, **_: object,
) -> torch.Tensor:  # fmt: skip
    if attention_mask is not None and attention_mask.dim() == 4:
        return attention_mask
    assert cache_position is not None
    lowest = torch.finfo(dtype).min if min_dtype is None else min_dtype
    mask = torch.full((sequence_length, target_length), fill_value=lowest, dtype=dtype, device=device)
    if sequence_length != 1:
        mask = torch.triu(mask, diagonal=1)
    mask *= torch.arange(target_length, device=device) > cache_position.reshape(-1, 1)
    mask = mask[None, None, :, :].expand(batch_size, 1, -1, -1)
    if attention_mask is None:
        return mask
    mask = mask.clone()
    length = attention_mask.shape[-1]
    hidden = (mask[:, :, :, :length] + attention_mask[:, None, None, :].to(mask.device)) == 0
    mask[:, :, :, :length] = mask[:, :, :, :length].masked_fill(hidden, lowest)
    return mask


def causal_bools(input_ids_shape: Sequence[int], device: Any, past_key_values_length: int) -> torch.Tensor:
    """`_make_causal_mask` of BLOOM and Falcon: True where a token comes later."""
    batch, queries = input_ids_shape
    mask = torch.empty((queries, queries + past_key_values_length), dtype=torch.bool, device=device)
    places = torch.arange(queries, device=device)
    mask[:, past_key_values_length:] = places[:, None] < places[None, :]
    if past_key_values_length > 0:
        mask[:, :past_key_values_length] = False
    return mask[None, None, :, :].expand(batch, 1, queries, queries + past_key_values_length)


def expanded_bools(mask: torch.Tensor, tgt_length: int) -> torch.Tensor:
    """`_expand_mask` of BLOOM and Falcon: True where a token pads."""
    batch, keys = mask.shape
    wanted = tgt_length if tgt_length is not None else keys
    return (~(mask[:, None, None, :].to(torch.bool))).expand(batch, 1, wanted, keys)
