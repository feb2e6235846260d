"""Makes the config of a transformers model smaller: first fewer layers, then narrower ones."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

_LAYERS: Final = (
    "num_hidden_layers", "num_layers", "n_layer", "n_layers", "num_decoder_layers", "num_encoder_layers",
    "encoder_layers", "decoder_layers", "vision_num_hidden_layers", "depth", "depths", "num_hidden_layers_text",
    "num_blocks",
)  # fmt: skip
"""Keys that count layers."""
_WIDTHS: Final = (
    "hidden_size", "d_model", "n_embd", "embed_dim", "dim", "intermediate_size", "ffn_dim", "d_ff", "n_inner",
    "encoder_ffn_dim", "decoder_ffn_dim", "moe_intermediate_size", "shared_expert_intermediate_size",
    "vision_hidden_size", "vision_intermediate_size", "mlp_dim", "projection_dim", "out_hidden_size",
    "num_attention_heads", "num_heads", "n_head", "encoder_attention_heads", "decoder_attention_heads",
    "vision_num_attention_heads", "num_key_value_heads", "n_kv_heads", "word_embed_proj_dim",
    "hidden_sizes", "embed_dims", "projection_size",
)  # fmt: skip
"""Keys that are divided together, so that a head keeps its width."""
_EXPERTS: Final = ("n_routed_experts", "num_experts", "num_local_experts", "moe_num_experts")
"""Keys that count experts."""
FEW_EXPERTS: Final = 16
"""How many are left where there were more: a router chooses some of each group."""
_KEPT: Final = ("quantization_config", "auto_map", "rope_scaling", "rope_parameters")
"""Parts that hold no sizes of the model."""
FEW_WORDS: Final = 2048
"""How many tokens a small vocabulary has."""
_NUMBER: Final = re.compile(r"(?<=\.)\d+(?=\.|$)")
DEPTHS: Final = (2, 4, 8)
FACTORS: Final = (1, 4, 16, 32, 64, 128)


def candidates(settings: Mapping[str, Any]) -> Iterator[tuple[int, dict[str, Any]]]:
    """Smaller and smaller configs, each with how many layers it has: with few of them, then with more.

    At first they have few words, where no special one is lost, then all. Whether one can be built and run is for
    whoever asks to find out: not every size divides every other.
    """
    few = [FEW_WORDS] if _special(settings) < FEW_WORDS else []
    for layers in DEPTHS:
        for words in (*few, 0):
            for factor in FACTORS:
                yield layers, _smaller(settings, layers, factor, words)


def _special(settings: Mapping[str, Any]) -> int:
    """The largest id of a token that a config names."""
    found = [0]
    for key, value in settings.items():
        if isinstance(value, Mapping):
            found.append(_special(value))
        elif str(key).endswith(("token_id", "token_index", "_token_ids")):
            found += [one for one in (value if isinstance(value, list) else [value]) if type(one) is int]
    return max(found)


def _smaller(settings: Mapping[str, Any], layers: int, factor: int, words: int) -> dict[str, Any]:
    """One part of a config; the lists that have an entry for each layer are cut in step with it."""
    counted = {value for key, value in settings.items() if key in _LAYERS and _is_count(value) and value > layers}
    sizes: dict[str, Callable[[int], int]] = {
        **dict.fromkeys(_LAYERS, lambda value: min(value, layers)),
        **dict.fromkeys(_WIDTHS, lambda value: divided(value, factor)),
        **dict.fromkeys(_EXPERTS, lambda value: divided(value, min(factor, max(value // FEW_EXPERTS, 1)))),
        "vocab_size": lambda value: min(value, words or value),
    }

    def made(key: str, value: Any) -> Any:
        if isinstance(value, Mapping):
            return value if key in _KEPT else _smaller(value, layers, factor, words)
        if isinstance(value, list):
            stages = key in sizes and all(map(_is_count, value))
            whole = list(map(sizes[key], value)) if stages else value
            return spread(value, layers) if len(value) in counted else whole
        return sizes[key](value) if key in sizes and _is_count(value) else value

    return {key: made(key, value) for key, value in settings.items()}


def renumbered(name: str, layers: int) -> str:
    """The name of a tensor, or a pattern of names, where a model has only so many layers.

    >>> renumbered("model.layers.16.mlp.up_proj", 2), renumbered("h.1.attn", 2)
    ('model.layers.1.mlp.up_proj', 'h.1.attn')
    """
    return _NUMBER.sub(lambda found: str(min(int(found[0]), layers - 1)), name)


def divided(size: int, factor: int) -> int:
    """A size by the largest power of two up to `factor` that divides it.

    >>> divided(4096, 8), divided(36, 32), divided(7, 4)
    (512, 9, 7)
    """
    while factor > 1 and size % factor:
        factor //= 2
    return size // factor


def spread(entries: list[Any], count: int) -> list[Any]:
    """So many entries of a list, of every kind that is in it, as far as they go, in their order.

    >>> spread(["a", "a", "a", "b"], 2), spread(["a", "a"], 2)
    (['a', 'b'], ['a', 'a'])
    """
    first = [entries.index(entry) for at, entry in enumerate(entries) if entries.index(entry) == at][:count]
    rest = [at for at in range(len(entries)) if at not in first]
    return [entries[at] for at in sorted([*first, *rest[: count - len(first)]])]


def _is_count(value: object) -> bool:
    return type(value) is int and value > 0
