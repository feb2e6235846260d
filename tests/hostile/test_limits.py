"""A config that asks for more than can be built is refused at once, in one line, by every kind of folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import pytest

from analyzer.cli import main

LLAMA: Final = {
    "model_type": "llama", "architectures": ["LlamaForCausalLM"], "vocab_size": 64, "hidden_size": 16,
    "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 4,
}  # fmt: skip
UNET: Final = {
    "_class_name": "UNet2DModel", "sample_size": 16, "block_out_channels": [32, 32], "layers_per_block": 1,
    "down_block_types": ["DownBlock2D"] * 2, "up_block_types": ["UpBlock2D"] * 2,
}  # fmt: skip
LORA: Final = {"peft_type": "LORA", "task_type": "CAUSAL_LM", "r": 4, "target_modules": ["q_proj"]}
PIPELINE: Final = {
    "_class_name": "DDPMPipeline", "unet": ["diffusers", "UNet2DModel"], "scheduler": ["diffusers", "DDPMScheduler"],
}  # fmt: skip
TIMM: Final = {"architecture": "vit_tiny_patch16_224", "pretrained_cfg": {"input_size": [3, 224, 224]}}
SENTENCES: Final = [
    {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
    {"idx": 1, "name": "1", "path": "1_LSTM", "type": "sentence_transformers.models.LSTM"},
]
EVIL: Final = "(a+)+$"


def _quantised(**settings: object) -> dict[str, Any]:
    return {"config.json": LLAMA | {"quantization_config": {"quant_method": "compressed-tensors", **settings}}}


def _adapter(**settings: object) -> dict[str, Any]:
    return {"config.json": LLAMA, "adapter_config.json": LORA | settings}


def _config(**settings: object) -> dict[str, Any]:
    return {"config.json": LLAMA | settings}


CASES: Final[dict[str, tuple[dict[str, Any], str]]] = {
    "layers": (_config(num_hidden_layers=100_000), "num_hidden_layers is 100,000; more than 2,000 layers"),
    "labels": (_config(num_labels=10**8), "num_labels is 100,000,000; more than 250,000 labels"),
    "positions": (_config(max_position_embeddings=10**9), "max_position_embeddings is 1,000,000,000"),
    "a long list": (_config(layer_types=["full_attention"] * 100_000), "the length of layer_types is 100,000"),
    "a huge number": (_config(num_hidden_layers=10**40), "a number of more than 18 digits"),
    "experts": (
        _config(model_type="mixtral", architectures=["MixtralForCausalLM"], num_local_experts=10**6),
        "num_local_experts is 1,000,000",
    ),
    "layers times experts": (
        _config(model_type="mixtral", num_hidden_layers=1000, num_local_experts=1000),
        "num_hidden_layers times num_local_experts is 1,000,000",
    ),
    "image": ({"config.json": {"model_type": "vit", "image_size": 100_000}}, "image_size is 100,000"),
    "patches": (
        {"config.json": {"model_type": "swin", "image_size": 4096, "patch_size": 1}}, "image_size by patch_size",
    ),
    "clip": (
        {"config.json": {"model_type": "videomae", "num_frames": 4096}}, "image_size by num_frames, patch_size",
    ),
    "depths": ({"config.json": {"model_type": "swin", "depths": [1000, 1000, 1000]}}, "the sum of depths is 3,000"),
    "a part of the config": (
        {"config.json": {"model_type": "clip", "vision_config": {"num_hidden_layers": 10**6}}},
        "vision_config.num_hidden_layers is 1,000,000",
    ),
    "quantised: ignore": (_quantised(ignore=[f"re:{EVIL}"]), f"the pattern {EVIL!r} of quantization_config"),
    "quantised: targets": (_quantised(config_groups={"group_0": {"targets": [f"re:{EVIL}"]}}), "is not matched"),
    "quantised: kept": (_quantised(quant_method="fp8", modules_to_not_convert=["x)|((a+)+"]), "is not matched"),
    "quantised: dynamic": (_quantised(quant_method="gptq", dynamic={f"+:{EVIL}": {"bits": 4}}), "is not matched"),
    "quantised: many": (_quantised(ignore=[f"model.layers.{i}.mlp" for i in range(3000)]), "3,00"),
    "adapter: tokens": (
        _adapter(peft_type="PROMPT_TUNING", num_virtual_tokens=2 * 10**8), "num_virtual_tokens is 200,000,000",
    ),
    "adapter: rank": (_adapter(r=10**8), "r is 100,000,000"),
    "adapter: modules": (_adapter(target_modules=EVIL), "of target_modules is not matched"),
    "adapter: left out": (_adapter(exclude_modules="(.*,)*x"), "of exclude_modules is not matched"),
    "adapter: layers": (_adapter(layers_pattern=["x", EVIL]), "of layers_pattern is not matched"),
    "adapter: ranks": (_adapter(rank_pattern={"x)|((a+)+": 8}), "of rank_pattern is not matched"),
    "part of a pipeline": ({"config.json": UNET | {"layers_per_block": 10**5}}, "layers_per_block is 100,000"),
    "pipeline: model": (
        {"model_index.json": PIPELINE, "unet/config.json": UNET | {"sample_size": 10**5},
         "scheduler/scheduler_config.json": {"_class_name": "DDPMScheduler"}},
        "unet/config.json: sample_size is 100,000",
    ),
    "pipeline: scheduler": (
        {"model_index.json": PIPELINE, "unet/config.json": UNET,
         "scheduler/scheduler_config.json": {"_class_name": "DDPMScheduler", "num_train_timesteps": 10**9}},
        "scheduler_config.json: num_train_timesteps is 1,000,000,000",
    ),
    "timm: depth": ({"config.json": TIMM | {"model_args": {"depth": 10**5}}}, "model_args.depth is 100,000"),
    "timm: classes": ({"config.json": TIMM | {"num_classes": 10**8}}, "num_classes is 100,000,000"),
    "timm: image": (
        {"config.json": TIMM | {"pretrained_cfg": {"input_size": [3, 10**5, 10**5]}}}, "pretrained_cfg.input_size",
    ),
    "sentence-transformers": (
        {"modules.json": SENTENCES, "config.json": LLAMA, "1_LSTM/config.json": {"num_layers": 10**6}},
        "1_LSTM/config.json: num_layers is 1,000,000",
    ),
}  # fmt: skip


def written(folder: Path, files: dict[str, Any]) -> Path:
    """A model folder with these JSON files."""
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(json.dumps(content))
    return folder


@pytest.mark.parametrize("name", CASES)
def test_it_is_refused_at_once(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files, words = CASES[name]
    assert main(["trace", str(written(tmp_path / "model", files)), "--deadline", "60"]) == 2
    said = capsys.readouterr().err.strip()
    assert words in said
    assert "\n" not in said
    assert len(said) < 300 + len(str(tmp_path))


def test_an_adapter_that_is_named_is_refused_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    base, adapter = written(tmp_path / "base", _config()), written(tmp_path / "adapter", {})
    written(adapter, {"adapter_config.json": LORA | {"target_modules": EVIL}})
    assert main(["trace", str(base), "--adapter", str(adapter)]) == 2
    assert "of target_modules is not matched" in capsys.readouterr().err


@pytest.mark.parametrize(
    "files",
    [
        _config(num_hidden_layers=64),
        _config(num_labels=21_843, max_position_embeddings=10_485_760),
        _adapter(target_modules=r".*\.layers\.\d+\.self_attn\.(?:q|k)_proj", rank_pattern={"q_proj": 8}),
    ],
    ids=["layers", "labels and positions", "pattern"],
)
def test_what_is_large_but_real_is_traced(files: dict[str, Any], tmp_path: Path) -> None:
    assert main(["trace", str(written(tmp_path / "model", files)), "--fail-on", "never"]) == 0
