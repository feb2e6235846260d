"""Attributes and methods that classes of the library's layers had: numbers of heads, shapes, masks, towers."""

from __future__ import annotations

import functools
from typing import Any, Final

import torch

from analyzer.loaders.versions.old_names import masks
from analyzer.loaders.versions.old_names.lending import Attribute, Lender

OF_CONFIG: Final = {
    "num_heads": "num_attention_heads", "num_key_value_heads": "num_key_value_heads", "hidden_size": "hidden_size",
    "max_position_embeddings": "max_position_embeddings", "rope_theta": "rope_theta",
}  # fmt: skip
"""Attribute of an attention -> what it was in the config."""
_BERTS: Final = ("bert", "roberta", "xlm_roberta", "esm")
_TOWERS: Final = {
    **dict.fromkeys(("CLIPVisionModel", "SiglipVisionModel"), "vision_model"),
    **dict.fromkeys(("CLIPTextModel", "SiglipTextModel"), "text_model"),
}
"""Class that holds its layers itself -> what held them."""
FEATURES: Final = ("get_text_features", "get_image_features", "get_audio_features")
"""Methods that gave a tensor and give an output now."""


def lend(cls: type, model: str, lender: Lender) -> None:
    """Give one class of a model what it had."""
    name = cls.__name__
    if name.endswith("Attention") and model not in _BERTS:
        for attribute, key in OF_CONFIG.items():
            lender.lend(
                cls, attribute, Attribute(attribute, _from_config(attribute, key), lender, f"{name}.{attribute}")
            )
    if name.endswith("SelfAttention") and model in _BERTS:
        lender.lend(cls, "transpose_for_scores", _transpose_for_scores)
        said = f"{name}.position_embedding_type"
        lender.lend(cls, "position_embedding_type", Attribute("", lambda _: "absolute", lender, said))
    if name.endswith("Attention") and model in _BERTS and not name.endswith("SelfAttention"):
        lender.lend(cls, "pruned_heads", Attribute("pruned_heads", lambda _: set(), lender, f"{name}.pruned_heads"))
    if name in _TOWERS:
        tower = _TOWERS[name]
        lender.lend(cls, tower, Attribute(tower, _itself, lender, f"{name}.{tower}"))
    for method in [one for one in FEATURES if one in vars(cls)]:
        lender.put(cls, method, _pooled(vars(cls)[method], f"{name}.{method}", lender))
    if name.endswith("Model"):
        lender.lend(cls, "_update_causal_mask", _update_causal_mask)
        made = staticmethod(masks._prepare_4d_causal_attention_mask_with_cache_position)
        lender.lend(cls, "_prepare_4d_causal_attention_mask_with_cache_position", made)


def _from_config(attribute: str, key: str) -> Any:
    def get(instance: Any) -> Any:
        config = getattr(instance, "config", None)
        held = getattr(config, "rope_parameters", None) or {}
        found = held.get(key) if key == "rope_theta" else getattr(config, key, None)
        if instance is None or found is None:
            raise AttributeError(f"'{type(instance).__name__}' object has no attribute '{attribute}'")
        return found

    return get


def _pooled(original: Any, what: str, lender: Lender) -> Any:
    @functools.wraps(original)
    def features(self: Any, *args: Any, **kwargs: Any) -> Any:
        result = original(self, *args, **kwargs)
        if not lender.is_asked() or getattr(result, "pooler_output", None) is None:
            return result
        lender.note(f"{what}, which the installed transformers answers with an output", "its tensor, as before")
        return result.pooler_output

    return features


def _itself(instance: Any) -> Any:
    if instance is None:
        raise AttributeError("an attribute of instances")
    return instance


def _transpose_for_scores(self: Any, x: torch.Tensor) -> torch.Tensor:
    return x.view(*x.shape[:-1], self.num_attention_heads, self.attention_head_size).permute(0, 2, 1, 3)


def _update_causal_mask(
    self: Any, attention_mask: torch.Tensor | None, input_tensor: torch.Tensor, cache_position: torch.Tensor,
    past_key_values: Any = None, output_attentions: bool = False, *_: object,
) -> torch.Tensor | None:  # fmt: skip
    chosen = self.config._attn_implementation
    if chosen == "flash_attention_2":
        return attention_mask if attention_mask is not None and bool((attention_mask == 0.0).any()) else None
    past = past_key_values.get_seq_length() if past_key_values is not None else 0
    largest = getattr(past_key_values, "max_cache_len", None)
    ignore = masks.AttentionMaskConverter._ignore_causal_mask_sdpa
    if chosen == "sdpa" and largest is None and not output_attentions and ignore(attention_mask, input_tensor, past):
        return None
    length = input_tensor.shape[1]
    given = attention_mask.shape[-1] if isinstance(attention_mask, torch.Tensor) else past + length + 1
    return masks._prepare_4d_causal_attention_mask_with_cache_position(
        attention_mask, length, largest or given, input_tensor.dtype, input_tensor.device,
        cache_position=cache_position, batch_size=input_tensor.shape[0],
    )  # fmt: skip
