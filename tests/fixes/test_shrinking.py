"""A config made smaller: layers and what has an entry for each, widths together, and every choice builds a model."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModel

from analyzer.fixes.real.shrinking import DEPTHS, FACTORS, FEW_WORDS, candidates, spread
from analyzer.fixes.real.sources import SMALL

SETTINGS: dict[str, Any] = {
    "model_type": "any", "num_hidden_layers": 24, "hidden_size": 2048, "num_attention_heads": 16, "vocab_size": 50000,
    "layer_types": ["sliding"] * 5 + ["full"] + ["sliding"] * 18, "eos_token_id": 2,
    "text_config": {"num_hidden_layers": 12, "windows": list(range(12)), "intermediate_size": 1000},
    "rope_parameters": {"dim": 64},
}  # fmt: skip


def test_layers_go_first_then_widths_and_no_token_is_lost() -> None:
    found = [made for _, made in candidates(SETTINGS)]
    assert len(found) == len(DEPTHS) * len(FACTORS) * 2
    first, second = found[:2]
    assert (first["num_hidden_layers"], first["hidden_size"], first["vocab_size"]) == (2, 2048, FEW_WORDS)
    assert found[len(FACTORS)] == first | {"vocab_size": 50000}
    image = {**SETTINGS, "image_token_id": 40000}
    assert {one["vocab_size"] for _, one in candidates(image)} == {50000}
    assert first["layer_types"] == ["sliding", "full"]
    assert first["text_config"] == {"num_hidden_layers": 2, "windows": [0, 1], "intermediate_size": 1000}
    assert (second["hidden_size"], second["num_attention_heads"]) == (512, 4)
    assert all(one["rope_parameters"] == {"dim": 64} and one["eos_token_id"] == 2 for one in found)


@pytest.mark.parametrize(("kinds", "count", "left"), [("aaab", 2, "ab"), ("abab", 3, "aba"), ("abc", 2, "ab")])
def test_every_kind_of_layer_is_kept_as_far_as_it_goes(kinds: str, count: int, left: str) -> None:
    assert "".join(spread(list(kinds), count)) == left


@pytest.mark.parametrize("kind", ["llama", "gemma2", "qwen3_moe", "bert", "t5", "mistral", "vit", "gpt2", "whisper"])
def test_a_small_one_of_each_kind_can_be_built(kind: str) -> None:
    settings = AutoConfig.for_model(kind).to_dict()
    sizes = []
    for _, smaller in list(candidates(settings))[: 2 * len(FACTORS)]:
        values = {key: value for key, value in smaller.items() if key != "model_type"}
        try:
            with torch.device("meta"):
                model = AutoModel.from_config(AutoConfig.for_model(kind, **values))  # type: ignore[no-untyped-call]
        except (ValueError, RuntimeError, TypeError):
            continue
        sizes.append(sum(p.numel() for p in model.parameters()))
    assert sizes and min(sizes) < SMALL
