"""The table of limits: real configs pass, each kind of key has its row, a refusal names file, key and limit."""

from __future__ import annotations

import inspect
import warnings
from pathlib import Path
from typing import Any

import pytest

from analyzer.errors import AnalyzerError
from analyzer.loaders.limits import check_file, check_limits
from analyzer.loaders.limits.sizes import LIMITS, limit_of


def _said(settings: object) -> str:
    with pytest.raises(AnalyzerError) as refused:
        check_limits("model/config.json", settings)
    return str(refused.value)


def test_no_default_config_of_transformers_is_refused() -> None:
    from transformers import CONFIG_MAPPING

    seen = 0
    for name in CONFIG_MAPPING:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                settings = CONFIG_MAPPING[name]().to_dict()
        except Exception:  # a few have no default config
            continue
        check_limits(name, settings)
        seen += 1
    assert seen > 200


def test_no_default_config_of_diffusers_is_refused() -> None:
    diffusers = pytest.importorskip("diffusers")
    seen = 0
    for name in dir(diffusers):
        cls = getattr(diffusers, name, None)
        if isinstance(cls, type) and issubclass(cls, diffusers.ConfigMixin):
            defaults = {k: p.default for k, p in inspect.signature(cls.__init__).parameters.items()}
            settings = {k: list(v) if isinstance(v, tuple) else v for k, v in defaults.items()}
            check_limits(name, {"_class_name": name, **settings})
            seen += 1
    assert seen > 50


@pytest.mark.parametrize(
    ("key", "counts"),
    [
        ("num_hidden_layers", "layers"), ("n_layer", "layers"), ("encoder_layers", "layers"), ("depths", "layers"),
        ("layers_per_block", "layers"), ("hybrid_override_pattern", "layers"), ("layer_types", "layers"),
        ("num_labels", "labels"), ("num_classes", "labels"), ("id2label", "labels"),
        ("n_routed_experts", "experts"), ("num_local_experts", "experts"),
        ("max_position_embeddings", "positions"), ("n_ctx", "positions"), ("sliding_window", "positions"),
        ("image_size", "pixels a side"), ("height", "pixels a side"), ("max_pixels", "pixels"),
        ("patch_size", "pixels or samples"), ("conv_kernel", "pixels or samples"), ("num_mel_bins", "bins or frames"),
        ("num_frames", "bins or frames"), ("num_codebooks", "parts"), ("num_attention_heads", "parts"),
        ("num_hash_buckets", "rows"), ("in_channels", "channels"), ("r", "ranks or tokens"),
        ("num_virtual_tokens", "ranks or tokens"), ("pos_embed_max_size", "places"),
        ("hc_sinkhorn_iters", "rounds"), ("mamba_d_conv", "samples"),
    ],
)  # fmt: skip
def test_a_key_belongs_to_the_row_of_its_words(key: str, counts: str) -> None:
    row = limit_of(key)
    assert row is not None
    assert row.counts == counts
    check_limits("config.json", {key: row.most})
    assert f"more than {row.most:,} {counts}" in _said({"a_part": [{key: row.most + 1}]})


@pytest.mark.parametrize(
    "key", ["vocab_size", "hidden_size", "rope_theta", "bos_token_id", "image_token_index", "seed",
            "block_out_channels", "model_max_length", "vocab_size_per_layer_input", "num_parameters"],
)  # fmt: skip
def test_what_costs_nothing_has_no_limit(key: str) -> None:
    check_limits("config.json", {key: 10**30})


def test_every_row_gives_its_reason() -> None:
    assert all(row.cost and row.largest and row.words for row in LIMITS)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"num_hidden_layers": 100_000}, "model/config.json: num_hidden_layers is 100,000; more than 2,000 layers"),
        ({"num_hidden_layers": 1e300}, "num_hidden_layers is a number of more than 18 digits"),
        ({"text_config": {"num_labels": 10**8}}, "text_config.num_labels is 100,000,000"),
        ({"hybrid_override_pattern": "M-" * 5000}, "the length of hybrid_override_pattern is 10,000"),
        ({"blocks_per_stage": [900, 900, 900]}, "the sum of blocks_per_stage is 2,700"),
        ({"id2label": {str(i): "x" for i in range(250_001)}}, "the length of id2label is 250,001"),
        ({"conv_dim": [1] * 10_001}, "the length of conv_dim is 10,001"),
        ({str(i): 1 for i in range(10_001)}, "the length of the object is 10,001"),
        ({"num_layers": 400, "num_experts": 400}, "num_layers times num_experts is 160,000"),
        ({"vision_config": {"image_size": 4000, "patch_size": 8}}, "vision_config.image_size by patch_size is 250,000"),
        ({"num_frames": 1024, "image_size": 224, "patch_size": 16, "tubelet_size": 2}, "by num_frames, patch_size"),
        ({"_class_name": "ControlNetModel", "sample_size": 300, "conditioning_channels": 3}, "sample_size squared"),
        ({"model_type": "distilbert", "max_position_embeddings": 10**6}, "max_position_embeddings is 1,000,000"),
        ({"_class_name": "SD3Transformer2DModel", "pos_embed_max_size": 513}, "pos_embed_max_size squared is 263,169"),
    ],
)  # fmt: skip
def test_what_is_refused_is_named(settings: dict[str, Any], words: str) -> None:
    said = _said(settings)
    assert words in said
    assert len(said) < 300


@pytest.mark.parametrize("value", [float("nan"), float("inf"), True, None, "100000", -5, [], {}])
def test_what_is_no_count_is_left_to_the_library(value: object) -> None:
    check_limits("config.json", {"num_hidden_layers": value})


def test_a_file_that_is_not_there_has_no_limits(tmp_path: Path) -> None:
    check_file(tmp_path / "config.json")
    (tmp_path / "config.json").write_text('{"depth": 9999}')
    with pytest.raises(AnalyzerError, match="depth is 9,999"):
        check_file(tmp_path / "config.json")


def test_depth_beyond_all_bounds_is_one_line() -> None:
    nested: dict[str, Any] = {}
    for _ in range(5000):
        nested = {"a": nested}
    assert "nested too deeply" in _said(nested)
