"""Configs of remote codes with small numbers, so that the same class can be built and run for real."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

_LAYERS: Final = re.compile(r"(^|_)(num_|n_|encoder_|decoder_)*(hidden_)?(layers?|blocks|depth)$|^depths?$")
_EXPERTS: Final = re.compile(r"^(n_routed_experts|num_(local_)?experts|moe_num_experts)$")
_WIDTHS: Final = re.compile(
    r"^(hidden_size|n_embd|d_model|embed_dim|intermediate_size|ffn_hidden_size|n_inner|d_ff|mlp_hidden_size|width"
    r"|moe_intermediate_size|num_attention_heads|num_key_value_heads|n_heads?|n_kv_heads|num_heads|heads|n_head_kv)$"
)
_KEYS: Final = ("patterns", "pattern")
LAYERS: Final = 2
NARROWER: Final = (4, 1)
"""Widths and heads are divided by these, the smaller model first."""


def sizes(settings: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Configs to try, smallest first: with few layers and experts, narrower and as wide as it is."""
    for by in NARROWER:
        yield shrunk(settings, by)


def shrunk(value: Any, by: int) -> Any:
    """The config with few layers, and widths and heads divided where they can be.

    >>> shrunk({"num_hidden_layers": 61, "hidden_size": 4096, "num_attention_heads": 32, "head_dim": 128}, 4)
    {'num_hidden_layers': 2, 'hidden_size': 1024, 'num_attention_heads': 8, 'head_dim': 128}
    >>> shrunk({"text_config": {"n_layer": 40, "n_head_kv": 1, "layer_types": ["a", "b", "c"]}}, 4)
    {'text_config': {'n_layer': 2, 'n_head_kv': 1, 'layer_types': ['a', 'b']}}
    >>> shrunk({"_attn_implementation": "flash_attention_2"}, 4)  # which needs a GPU
    {'_attn_implementation': 'eager'}
    """
    if not isinstance(value, dict):
        return value
    return {key: _value(key, one, by) for key, one in value.items()}


def _value(key: str, value: Any, by: int) -> Any:
    if isinstance(value, list) and key == "layer_types":
        return value[:LAYERS]
    if value == "flash_attention_2":
        return "eager"
    if type(value) is not int:
        return shrunk(value, by)
    if _LAYERS.search(key) or key == "n_layer":
        return min(value, LAYERS)
    if _EXPERTS.search(key):
        return min(value, 16)
    return value // by if _WIDTHS.search(key) and value % by == 0 else value
